#include "network/bridge.h"

#include <fcntl.h>

#include <algorithm>
#include <map>

#include "engine/base/error.h"
#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "network/link.h"

namespace mydocker::network {
namespace {

/// A switch of one interface; absent files (a kernel without IPv6) are fine. An equal value is not written again: some
/// switches take the kernel's routing lock.
bool set_switch(std::string_view family, const std::string& interface, std::string_view name, std::string_view value) {
  const std::string path = concat("/proc/sys/net/", family, "/conf/", interface, '/', name);
  const UniqueFd file = find_at(AT_FDCWD, path, O_RDONLY);
  if (!file) return false;
  if (read_all(file.get(), 64, path) != concat(value, '\n')) write_kernel_file(path, value);
  return true;
}

bool is_on(const std::string& path) {
  const std::optional<std::string> text = find_file_at(AT_FDCWD, path, 64);
  return text && !text->starts_with("0");
}

}  // namespace

int ensure_bridge(NetlinkSocket& socket, const BridgeOptions& options) {
  std::optional<Link> link = find_link(socket, options.name);
  if (link && link->kind != "bridge") {
    throw Error(ErrorKind::conflict, concat("link ", options.name, " exists and is no bridge"));
  }
  int index = link ? link->index : 0;
  if (!link) {
    failpoint("network.bridge");
    index = create_bridge(socket, options.name, make_mac(options.address.address), options.mtu);
  }
  // Before it is up: nothing of the host may configure itself from what a container sends (SECURITY N4).
  set_switch("ipv6", options.name, "accept_ra", "0");
  set_switch("ipv6", options.name, "disable_ipv6", "1");
  set_switch("ipv4", options.name, "accept_redirects", "0");
  set_switch("ipv4", options.name, "forwarding", options.internal ? "0" : "1");
  set_switch("ipv4", options.name, "route_localnet", "1");

  bool has_address = false;
  for (const LinkAddress& one : list_addresses(socket)) {
    if (one.index != index) continue;
    if (one.address == options.address) {
      has_address = true;
    } else {
      remove_address(socket, index, one.address);  // of another bip: its route would go on
    }
  }
  if (!has_address) add_address(socket, index, options.address);
  if (!link || !link->up) set_up(socket, index);
  return index;
}

bool bridged_frames_are_filtered() { return is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"); }

std::vector<std::string> find_non_forwarding(NetlinkSocket& socket, const std::vector<std::string>& ours) {
  if (host_forwards()) return {};
  std::map<int, std::string> names;
  for (const Link& link : list_links(socket)) names[link.index] = link.name;
  std::vector<std::string> found;
  for (const LinkAddress& one : list_addresses(socket)) {
    const std::string& name = names[one.index];
    const bool skip = name.empty() || name == "lo" || std::find(ours.begin(), ours.end(), name) != ours.end() ||
                      std::find(found.begin(), found.end(), name) != found.end();
    if (!skip && !is_on(concat("/proc/sys/net/ipv4/conf/", name, "/forwarding"))) found.push_back(name);
  }
  return found;
}

bool enable_forwarding(const std::string& interface) { return set_switch("ipv4", interface, "forwarding", "1"); }

bool host_forwards() { return is_on("/proc/sys/net/ipv4/ip_forward"); }

}  // namespace mydocker::network
