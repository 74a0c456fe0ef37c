#include "network/networks.h"

#include <linux/netfilter.h>
#include <linux/netlink.h>

#include <cerrno>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "engine/base/error.h"
#include "engine/base/failpoint.h"
#include "network/bridge.h"
#include "network/host_watch.h"
#include "network/ledger.h"
#include "network/link.h"
#include "network/network_plan.h"
#include "network/rule_elements.h"
#include "network/rules.h"
#include "network/sandbox.h"

namespace mydocker::network {
namespace {

constexpr std::string_view alias_prefix = "mydocker:";

void forget_udp(NetlinkSocket& filter, const EndpointRecord& endpoint) {
  for (const PortBinding& port : endpoint.ports) {
    if (port.protocol == "udp") forget_udp_connections(filter, port.host_port);
  }
}

}  // namespace

/// What the books say, made true in the kernel. `kernel_mutex_` orders changes of rules and bridges; the ledger has a
/// lock of its own, always taken second.
class Networks::Impl {
 public:
  Impl(Database& database, Options options) : options_(checked(std::move(options))), ledger_(database, options_) {}

  Ledger& ledger() { return ledger_; }
  NetworkRecord create(const NetworkCreate& request);
  void remove(std::string_view name_or_id);
  int ensure_ready(const NetworkRecord& network);
  Attachment attach(const AttachRequest& request);
  void detach(std::string_view container_id);
  void disconnect(std::string_view container_id, std::string_view network_id);
  void recover(const std::vector<std::string>& live_container_ids);
  void start_watch();

 private:
  static Options checked(Options options) {
    check_interface_name(options.bridge_name);
    Ipv4Address::parse(options.default_host_ip);
    return options;
  }
  int make_ready(const NetworkRecord& network);
  bool enable_uplinks(NetlinkSocket& route);
  void connect(const AttachRequest& request, const NetworkRecord& network, const EndpointRecord& endpoint);
  void plug_in(NetlinkSocket& route, VethPair& pair, const NetworkRecord& network);
  void publish(const EndpointRecord& endpoint);
  void withdraw(const std::vector<EndpointRecord>& endpoints);
  void forget(const std::vector<EndpointRecord>& endpoints);
  void tidy_links(const std::set<std::string>& live);
  NetlinkSocket& filter();

  const Options options_;
  Ledger ledger_;
  std::mutex kernel_mutex_;
  /// Under kernel_mutex_. Kept open: to close such a socket after a deletion waits for the kernel's grace period, 10
  /// ms.
  std::optional<NetlinkSocket> filter_;
  std::unique_ptr<HostWatch> watch_;  ///< last: its thread uses the rest
};

// --- bridges and rules ---------------------------------------------------------------------------------------------

NetlinkSocket& Networks::Impl::filter() {
  if (!filter_) filter_.emplace(NETLINK_NETFILTER);
  return *filter_;
}

int Networks::Impl::ensure_ready(const NetworkRecord& network) {
  if (const int index = ledger_.bridge_index(network.id)) return index;
  const std::scoped_lock kernel(kernel_mutex_);
  if (const int index = ledger_.bridge_index(network.id)) return index;  // somebody else has just made it ready
  return make_ready(network);
}

/// Under kernel_mutex_. The complete rule set stands before the bridge is up (SECURITY R18).
int Networks::Impl::make_ready(const NetworkRecord& network) {
  NetlinkSocket route(NETLINK_ROUTE);
  if (network.internal || !enable_uplinks(route)) apply_ruleset(ledger_.make_rules());
  const int index = ensure_bridge(route, {network.bridge, *gateway_of(network), network.mtu, network.internal});
  ledger_.set_bridge_index(network.id, index);
  return index;
}

/// Under kernel_mutex_. What leaves a container comes back over the host's interfaces, so these must forward; the rule
/// set keeps them from forwarding anything else (no_transit), and the rows remember which ones it was. false: there was
/// nothing to do, the rule set has not been touched.
bool Networks::Impl::enable_uplinks(NetlinkSocket& route) {
  if (!options_.ip_forward) return false;
  if (host_forwards()) {
    if (ledger_.store().forwarding_interfaces().empty()) return false;
    // It has become a router by somebody's will (another engine's, say): our limit goes.
    ledger_.store().clear_forwarding_interfaces();
    apply_ruleset(ledger_.make_rules());
    return true;
  }
  std::vector<std::string> ours;
  for (const NetworkRecord& network : ledger_.bridge_networks()) ours.push_back(network.bridge);
  const std::vector<std::string> interfaces = find_non_forwarding(route, ours);
  if (interfaces.empty()) return false;
  for (const std::string& interface : interfaces) ledger_.store().add_forwarding_interface(interface);
  apply_ruleset(ledger_.make_rules());  // first the rule, then the switch
  for (const std::string& interface : interfaces) enable_forwarding(interface);
  return true;
}

void Networks::Impl::start_watch() {
  HostWatch::Callbacks callbacks;
  callbacks.table_changed = [this] {
    const std::scoped_lock kernel(kernel_mutex_);
    apply_ruleset(ledger_.make_rules());
  };
  callbacks.routing_changed = [this] {
    const std::scoped_lock kernel(kernel_mutex_);
    if (!has_table(filter(), options_.table, NFPROTO_INET)) return;  // no container has been here yet
    NetlinkSocket route(NETLINK_ROUTE);
    enable_uplinks(route);
  };
  watch_ = std::make_unique<HostWatch>(options_.table, std::move(callbacks));
}

// --- endpoints -----------------------------------------------------------------------------------------------------

Attachment Networks::Impl::attach(const AttachRequest& request) {
  const NetworkRecord network = ledger_.get(request.network_id);
  Attachment attachment = ledger_.reserve(request, network);
  try {
    failpoint("network.attach");
    if (is_bridged(network)) {
      connect(request, network, attachment);
    } else {
      if (network.driver == "null") setup_loopback(request.netns_fd);
      ledger_.show(attachment);
    }
  } catch (...) {  // what was recorded goes with what was made
    const std::exception_ptr failure = std::current_exception();
    try {
      withdraw({attachment});
      forget({attachment});
    } catch (const Error&) {
      // The first failure is the one to tell; `recover` finds the row.
    }
    std::rethrow_exception(failure);
  }
  return attachment;
}

void Networks::Impl::connect(const AttachRequest& request, const NetworkRecord& network,
                             const EndpointRecord& endpoint) {
  VethPair pair;
  pair.host_name = endpoint.host_interface;
  pair.alias = concat(alias_prefix, endpoint.container_id);
  pair.bridge_index = ensure_ready(network);
  // Where bridged frames pass the rules, these separate the ports (icc=false), and a published port is translated
  // before the frame is switched: back through the same port, if a container calls itself.
  pair.hairpin = bridged_frames_are_filtered();
  pair.isolated = !network.icc && !pair.hairpin;
  pair.netns_fd = request.netns_fd;
  pair.name = endpoint.interface;
  pair.mac = endpoint.mac;
  pair.mtu = network.mtu;
  NetlinkSocket route(NETLINK_ROUTE);
  plug_in(route, pair, network);
  try {
    failpoint("network.address");
    InnerLink inner{endpoint.interface, {Ipv4Address::parse(endpoint.ip), endpoint.prefix_length}, std::nullopt};
    if (request.default_route && !endpoint.gateway.empty()) inner.gateway = Ipv4Address::parse(endpoint.gateway);
    fill_netns(request.netns_fd, inner, request.sysctls);
    settle_carrier(route, endpoint.host_interface);
    settle_carrier(route, pair.bridge_index);  // it has a carrier since its first port has one
    publish(endpoint);
  } catch (...) {  // slow (17-31 ms), but a failed connect must leave a running container as it was
    delete_link(route, endpoint.host_interface);
    throw;
  }
}

void Networks::Impl::plug_in(NetlinkSocket& route, VethPair& pair, const NetworkRecord& network) {
  failpoint("network.veth");
  try {
    create_veth(route, pair);
  } catch (const Error& error) {
    if (error.errno_value() != ENODEV && error.errno_value() != EINVAL) throw;
    // Somebody may have deleted the bridge: it is made anew, once.
    ledger_.set_bridge_index(network.id, 0);
    const int index = ensure_ready(network);
    if (index == pair.bridge_index) throw;
    pair.bridge_index = index;
    create_veth(route, pair);
  }
}

void Networks::Impl::publish(const EndpointRecord& endpoint) {
  const std::scoped_lock kernel(kernel_mutex_);
  ledger_.show(endpoint);
  if (!add_elements(filter(), options_.table, make_elements(make_endpoint_rules(endpoint)))) {
    apply_ruleset(ledger_.make_rules());  // somebody deleted a table
  }
  forget_udp(filter(), endpoint);
}

/// Takes what the endpoints have in the rules out of the kernel.
void Networks::Impl::withdraw(const std::vector<EndpointRecord>& endpoints) {
  const std::scoped_lock kernel(kernel_mutex_);
  ledger_.hide(endpoints);
  failpoint("network.withdraw");
  for (const EndpointRecord& endpoint : endpoints) {
    if (endpoint.ip.empty()) continue;  // of host or none
    remove_elements(filter(), options_.table, make_elements(make_endpoint_rules(endpoint)));
    forget_udp(filter(), endpoint);
  }
}

/// The last step: from here on others may get the addresses and ports.
void Networks::Impl::forget(const std::vector<EndpointRecord>& endpoints) {
  failpoint("network.forget");
  ledger_.forget(endpoints);
}

void Networks::Impl::detach(std::string_view container_id) {
  const std::vector<EndpointRecord> leaving = ledger_.all_endpoints_of(container_id);
  if (leaving.empty()) return;
  withdraw(leaving);
  forget(leaving);
}

void Networks::Impl::disconnect(std::string_view container_id, std::string_view network_id) {
  const NetworkRecord network = ledger_.get(network_id);
  const std::vector<EndpointRecord> leaving = ledger_.endpoints(
      [&](const EndpointRecord& one) { return one.container_id == container_id && one.network_id == network.id; });
  if (leaving.empty()) {
    throw Error(ErrorKind::internal, concat("container ", container_id, " is not connected to network ", network.name));
  }
  withdraw(leaving);
  NetlinkSocket route(NETLINK_ROUTE);
  for (const EndpointRecord& endpoint : leaving) {
    if (!endpoint.host_interface.empty()) delete_link(route, endpoint.host_interface);
  }
  forget(leaving);
}

// --- after a crash -------------------------------------------------------------------------------------------------

void Networks::Impl::recover(const std::vector<std::string>& live_container_ids) {
  const std::set<std::string> live(live_container_ids.begin(), live_container_ids.end());
  const std::vector<EndpointRecord> gone = ledger_.hide_all_but(live);
  const auto is_used = [&](const NetworkRecord& network) {
    return !ledger_.endpoints([&](const EndpointRecord& one) { return one.network_id == network.id; }).empty();
  };
  {
    // One replacement: withdraws what the dead ones published, keeps what the living ones have.
    const std::scoped_lock kernel(kernel_mutex_);
    if (has_table(filter(), options_.table, NFPROTO_INET)) apply_ruleset(ledger_.make_rules());
  }
  for (const NetworkRecord& network : ledger_.bridge_networks()) {
    ledger_.set_bridge_index(network.id, 0);
    if (is_used(network) || !network.predefined) ensure_ready(network);
  }
  tidy_links(live);
  forget(gone);
  if (!watch_) start_watch();
}

/// Ports of the living that lost their bridge get it back; those of the dead, whose namespace somebody keeps, go.
void Networks::Impl::tidy_links(const std::set<std::string>& live) {
  std::map<std::string, int> wanted;  // host interface -> bridge
  for (const EndpointRecord& endpoint : ledger_.endpoints([](const EndpointRecord&) { return true; })) {
    if (!endpoint.host_interface.empty()) wanted[endpoint.host_interface] = ledger_.bridge_index(endpoint.network_id);
  }
  std::set<std::string> bridge_names;
  for (const NetworkRecord& network : ledger_.bridge_networks()) bridge_names.insert(network.bridge);

  NetlinkSocket route(NETLINK_ROUTE);
  const std::vector<Link> links = list_links(route);
  std::set<int> our_bridges;
  for (const Link& link : links) {
    if (link.kind == "bridge" && bridge_names.contains(link.name)) our_bridges.insert(link.index);
  }
  for (const Link& link : links) {
    if (const auto found = wanted.find(link.name); found != wanted.end()) {
      if (link.master != found->second && found->second != 0) {
        set_master(route, link.index, found->second);
        settle_carrier(route, link.index);
        settle_carrier(route, found->second);
      }
      continue;
    }
    if (!our_bridges.contains(link.master) || !link.alias.starts_with(alias_prefix)) continue;
    if (!live.contains(link.alias.substr(alias_prefix.size()))) delete_link(route, link.name);
  }
}

// --- user-defined networks -------------------------------------------------------------------------------------------

NetworkRecord Networks::Impl::create(const NetworkCreate& request) {
  const std::scoped_lock kernel(kernel_mutex_);  // two creations do not get the same range
  const NetworkRecord record = ledger_.add(request);
  try {
    make_ready(record);
  } catch (...) {  // nothing stays behind
    ledger_.close(record);
    NetlinkSocket route(NETLINK_ROUTE);
    delete_link(route, record.bridge);
    ledger_.remove_row(record.id);
    throw;
  }
  return record;
}

void Networks::Impl::remove(std::string_view name_or_id) {
  const std::scoped_lock kernel(kernel_mutex_);
  const NetworkRecord network = ledger_.get(name_or_id);
  if (network.predefined) {
    throw Error(ErrorKind::forbidden, concat(network.name, " is a pre-defined network and cannot be removed"));
  }
  ledger_.close(network);
  try {
    NetlinkSocket route(NETLINK_ROUTE);
    delete_link(route, network.bridge);
    apply_ruleset(ledger_.make_rules());
    ledger_.remove_row(network.id);
  } catch (...) {  // it is still there, as its row says
    ledger_.reopen(network);
    throw;
  }
}

// --- the public door -------------------------------------------------------------------------------------------------

Networks::Networks(Database& database, Options options) : impl_(std::make_unique<Impl>(database, std::move(options))) {}
Networks::~Networks() = default;

std::vector<NetworkRecord> Networks::list() { return impl_->ledger().networks(); }
std::optional<NetworkRecord> Networks::find(std::string_view name_or_id) { return impl_->ledger().find(name_or_id); }
NetworkRecord Networks::get(std::string_view name_or_id) { return impl_->ledger().get(name_or_id); }
NetworkRecord Networks::create(const NetworkCreate& request) { return impl_->create(request); }
void Networks::remove(std::string_view name_or_id) { impl_->remove(name_or_id); }
void Networks::prepare() { impl_->ensure_ready(get("bridge")); }
Attachment Networks::attach(const AttachRequest& request) { return impl_->attach(request); }
void Networks::detach(std::string_view container_id) { impl_->detach(container_id); }
void Networks::disconnect(std::string_view container_id, std::string_view network_id) {
  impl_->disconnect(container_id, network_id);
}
std::vector<EndpointRecord> Networks::endpoints_of_container(std::string_view container_id) {
  return impl_->ledger().endpoints([&](const EndpointRecord& one) { return one.container_id == container_id; });
}
std::vector<EndpointRecord> Networks::endpoints_of_network(std::string_view network_id) {
  return impl_->ledger().endpoints([&](const EndpointRecord& one) { return one.network_id == network_id; });
}
void Networks::recover(const std::vector<std::string>& live_container_ids) { impl_->recover(live_container_ids); }
void Networks::start_watch() { impl_->start_watch(); }

void setup_loopback(int netns_fd) {
  NetlinkSocket inside = open_socket_in_netns(netns_fd);
  set_loopback_up(inside);
}

}  // namespace mydocker::network
