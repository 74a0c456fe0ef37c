#include "runtime/net_devices.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr std::string_view number_template = "%d";
constexpr int most_numbers = 1000;  // no longer name would fit anyway

[[noreturn]] void refuse(std::string_view what) {
  throw Error(ErrorKind::invalid_argument, concat("linux.netDevices: ", what));
}

bool is_template(std::string_view name) { return name.find(number_template) != std::string_view::npos; }

/// "eth%d" with a number.
std::string fill_template(std::string name, int number) {
  return name.replace(name.find(number_template), number_template.size(), std::to_string(number));
}

void validate_name(const std::string& name, bool may_be_template) {
  try {
    check_interface_name(may_be_template && is_template(name) ? fill_template(name, 0) : name);
    if (name.size() >= IFNAMSIZ) throw Error(ErrorKind::invalid_argument, "too long");
  } catch (const Error&) {
    throw Error(ErrorKind::invalid_argument,
                concat("invalid config.json: linux.netDevices: \"", name, "\" is not a name for a network device"));
  }
}

bool is_same_namespace(int one, int other) {
  struct stat left{};
  struct stat right{};
  if (::fstat(one, &left) != 0 || ::fstat(other, &right) != 0) throw sys_error("stat of a network namespace");
  return left.st_ino == right.st_ino && left.st_dev == right.st_dev;
}

/// Without the right nobody else's words for it come first.
UniqueFd open_as_root(const std::string& netns) {
  if (::geteuid() != 0) refuse("an ordinary user cannot move network devices");
  return open_file(netns, O_RDONLY);
}

/// A socket of that namespace; the calling process comes back.
NetlinkSocket open_route_socket(int netns, int own_netns) {
  if (::setns(netns, CLONE_NEWNET) != 0) throw sys_error("enter the container's network namespace");
  struct Return {
    int own;
    ~Return() {
      if (::setns(own, CLONE_NEWNET) != 0) std::abort();  // going on in the container's namespace would be worse
    }
  } const back{own_netns};
  return NetlinkSocket(NETLINK_ROUTE);
}

struct FoundLink {
  int index = 0;
  bool up = false;
  std::string name;
};

FoundLink read_link(std::span<const std::uint8_t> payload) {
  FoundLink link;
  ifinfomsg header{};
  if (payload.size() < sizeof header) return link;
  std::memcpy(&header, payload.data(), sizeof header);
  link.index = header.ifi_index;
  link.up = (header.ifi_flags & IFF_UP) != 0;
  for_each_attribute(payload.subspan(sizeof header), [&](std::uint16_t type, std::span<const std::uint8_t> bytes) {
    if (type == IFLA_IFNAME) link.name = read_text(bytes);
  });
  return link;
}

std::optional<FoundLink> find_link(NetlinkSocket& socket, const std::string& name) {
  NetlinkMessage message(RTM_GETLINK, 0, concat("find network device ", name));
  message.header(ifinfomsg{}).attribute_text(IFLA_IFNAME, name);
  FoundLink link;
  try {
    socket.query(message, [&](std::uint16_t, std::span<const std::uint8_t> payload) { link = read_link(payload); });
  } catch (const Error& error) {
    if (error.errno_value() == ENODEV) return std::nullopt;
    throw;
  }
  return link;
}

std::set<std::string> list_names(NetlinkSocket& socket) {
  NetlinkMessage message(RTM_GETLINK, NLM_F_DUMP, "list network devices");
  message.header(ifinfomsg{});
  std::set<std::string> names;
  socket.query(message, [&](std::uint16_t type, std::span<const std::uint8_t> payload) {
    if (type == RTM_NEWLINK) names.insert(read_link(payload).name);
  });
  return names;
}

/// Move and new name in one step of the kernel: there is no moment in which another device could take the name.
NetlinkResult move_link(NetlinkSocket& socket, int index, int netns, const std::string& name, std::string what) {
  ifinfomsg header{};
  header.ifi_index = index;
  NetlinkMessage message(RTM_NEWLINK, 0, std::move(what));
  message.header(header);
  message.attribute_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(netns)).attribute_text(IFLA_IFNAME, name);
  return socket.batch({&message, 1}).front();
}

const std::string& name_inside(const std::string& name, const NetDevice& device) {
  return device.name.empty() ? name : device.name;
}

}  // namespace

void validate_net_devices(const Spec& spec) {
  std::set<std::string> inside;
  for (const auto& [name, device] : spec.linux.net_devices) {
    validate_name(name, false);
    const std::string& wanted = name_inside(name, device);
    validate_name(wanted, true);
    if (is_template(wanted)) continue;
    if (!inside.insert(wanted).second) {
      throw Error(ErrorKind::invalid_argument,
                  concat("invalid config.json: linux.netDevices: gives the name \"", wanted, "\" twice"));
    }
  }
  if (!spec.linux.net_devices.empty() && find_namespace(spec, "network") == nullptr) {
    throw Error(ErrorKind::invalid_argument, "invalid config.json: linux.netDevices: without a network namespace");
  }
}

MovedDevices::MovedDevices(const Spec& spec, const std::string& netns)
    : netns_(open_as_root(netns)),
      own_netns_(open_file("/proc/self/ns/net", O_RDONLY)),
      outside_(NETLINK_ROUTE),
      inside_(open_route_socket(netns_.get(), own_netns_.get())) {
  if (is_same_namespace(netns_.get(), own_netns_.get())) refuse("the container is in the host's network namespace");
  std::set<std::string> taken = list_names(inside_);
  for (const auto& [name, device] : spec.linux.net_devices) {
    if (!find_link(outside_, name)) refuse(concat("there is no network device \"", name, "\""));
    const std::string& wanted = name_inside(name, device);
    if (!is_template(wanted) && !taken.insert(wanted).second) {
      refuse(concat("the container has a network device \"", wanted, "\" already"));
    }
  }
  try {
    for (const auto& [name, device] : spec.linux.net_devices) {
      const std::string& wanted = name_inside(name, device);
      if (!is_template(wanted)) {
        move_in(name, wanted);
        continue;
      }
      int number = 0;
      while (number < most_numbers && !taken.insert(fill_template(wanted, number)).second) ++number;
      move_in(name, fill_template(wanted, number));
    }
  } catch (...) {
    take_back();
    throw;
  }
}

MovedDevices::~MovedDevices() { take_back(); }

std::vector<MovedDevices::Address> MovedDevices::read_addresses(NetlinkSocket& socket, int index,
                                                                const std::string& name) {
  NetlinkMessage message(RTM_GETADDR, NLM_F_DUMP, concat("list addresses of ", name));
  message.header(ifaddrmsg{});
  std::vector<Address> addresses;
  socket.query(message, [&](std::uint16_t type, std::span<const std::uint8_t> payload) {
    ifaddrmsg header{};
    if (type != RTM_NEWADDR || payload.size() < sizeof header) return;
    std::memcpy(&header, payload.data(), sizeof header);
    if (static_cast<int>(header.ifa_index) != index || header.ifa_scope != RT_SCOPE_UNIVERSE) return;
    Address address{header.ifa_family, header.ifa_prefixlen, {}, {}};
    std::uint32_t flags = header.ifa_flags;
    for_each_attribute(payload.subspan(sizeof header), [&](std::uint16_t kind, std::span<const std::uint8_t> bytes) {
      if (kind == IFA_FLAGS) flags = read_u32(bytes);
      if (kind == IFA_LABEL && read_text(bytes).starts_with(name + ":")) {
        address.label_suffix = read_text(bytes).substr(name.size());
      }
      if (kind == IFA_LOCAL || kind == IFA_ADDRESS || kind == IFA_BROADCAST || kind == IFA_RT_PRIORITY) {
        address.attributes.emplace_back(kind, std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
      }
    });
    if ((flags & IFA_F_PERMANENT) == 0) return;
    constexpr std::uint32_t wishes = IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE |
                                     IFA_F_MCAUTOJOIN;  // the others tell of the address's state
    flags &= wishes;
    const auto* first = reinterpret_cast<const std::uint8_t*>(&flags);
    address.attributes.emplace_back(IFA_FLAGS, std::vector<std::uint8_t>(first, first + sizeof flags));
    addresses.push_back(std::move(address));
  });
  return addresses;
}

/// Moving takes a device down and its addresses away.
void MovedDevices::restore(NetlinkSocket& socket, const std::string& name, const Device& device, bool up) {
  const std::optional<FoundLink> link = find_link(socket, name);
  if (!link) throw Error(ErrorKind::internal, concat("network device ", name, " is gone"));
  std::vector<NetlinkMessage> messages;
  for (const Address& address : device.addresses) {
    ifaddrmsg header{};
    header.ifa_family = address.family;
    header.ifa_prefixlen = address.prefix_length;
    header.ifa_scope = RT_SCOPE_UNIVERSE;
    header.ifa_index = static_cast<std::uint32_t>(link->index);
    NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
                           concat("give network device ", name, " its address"));
    message.header(header);
    for (const auto& [kind, bytes] : address.attributes) message.attribute(kind, bytes);
    const std::string label = name + address.label_suffix;
    if (label.size() > name.size() && label.size() < IFNAMSIZ) message.attribute_text(IFA_LABEL, label);
    messages.push_back(std::move(message));
  }
  if (up) {
    ifinfomsg header{};
    header.ifi_index = link->index;
    header.ifi_flags = IFF_UP;
    header.ifi_change = IFF_UP;
    NetlinkMessage message(RTM_NEWLINK, 0, concat("set network device ", name, " up"));
    messages.push_back(std::move(message.header(header)));
  }
  socket.request_all(messages);
}

void MovedDevices::move_in(const std::string& name, const std::string& name_inside) {
  const std::optional<FoundLink> link = find_link(outside_, name);
  if (!link) refuse(concat("there is no network device \"", name, "\""));
  Device device{name, name_inside, link->up, read_addresses(outside_, link->index, name)};
  const std::string what = concat("linux.netDevices: move network device ", name);
  const NetlinkResult result = move_link(outside_, link->index, netns_.get(), name_inside, what);
  if (result.errno_value == EEXIST) refuse(concat("the container has a network device \"", name_inside, "\" already"));
  if (result.errno_value != 0) throw_netlink_error(what, result);
  devices_.push_back(std::move(device));
  restore(inside_, name_inside, devices_.back(), true);
}

void MovedDevices::take_back() noexcept {
  for (const Device& device : devices_) {
    try {
      const std::optional<FoundLink> link = find_link(inside_, device.name_inside);
      if (!link) continue;
      if (move_link(inside_, link->index, own_netns_.get(), device.name, "move back").errno_value != 0) continue;
      restore(outside_, device.name, device, device.was_up);
    } catch (const Error&) {
      // A failure led here, and that is the one to report.
    }
  }
  devices_.clear();
}

}  // namespace mydocker::runtime
