#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/netlink.h"
#include "engine/base/unique_fd.h"
#include "runtime/spec.h"

/// Network devices of the host that a container gets (OCI config-linux.md "Network Devices"). Single-threaded callers
/// only; blocks on the kernel. Source of truth: the kernel. Nobody takes a device back from a container that ran: with
/// its namespace the kernel destroys virtual devices and moves physical ones to the initial namespace.
namespace mydocker::runtime {

/// Throws Error{invalid_argument} naming linux.netDevices for names that no device can have, names given twice, and a
/// container without a network namespace.
void validate_net_devices(const Spec& spec);

/// Devices that were moved into a container which has not started yet. Destroying the object moves them back, with
/// their names, addresses and state, unless keep() was called. Move-only.
class MovedDevices {
 public:
  /// Moves what the spec names from the caller's network namespace into the one at the path `netns`, all or none:
  /// renamed where it says so, with their permanent global addresses, up. Throws Error{invalid_argument} for a caller
  /// who is not root, a namespace that is the caller's own, a device that is not there, a name that is taken;
  /// Error{internal} with the kernel's words for what it refuses.
  MovedDevices(const Spec& spec, const std::string& netns);
  MovedDevices(MovedDevices&& other) noexcept = default;
  MovedDevices& operator=(MovedDevices&& other) = delete;
  ~MovedDevices();

  /// From now on they are the container's.
  void keep() noexcept { devices_.clear(); }

 private:
  /// An address as it is given to the kernel again: its structure and attributes.
  struct Address {
    std::uint8_t family = 0;
    std::uint8_t prefix_length = 0;
    std::vector<std::pair<std::uint16_t, std::vector<std::uint8_t>>> attributes;
    std::string label_suffix;  ///< ":1" of the label "eth0:1"
  };
  struct Device {
    std::string name;  ///< where it came from
    std::string name_inside;
    bool was_up = false;
    std::vector<Address> addresses;
  };

  static std::vector<Address> read_addresses(NetlinkSocket& socket, int index, const std::string& name);
  static void restore(NetlinkSocket& socket, const std::string& name, const Device& device, bool up);
  void move_in(const std::string& name, const std::string& name_inside);
  void take_back() noexcept;

  UniqueFd netns_;
  UniqueFd own_netns_;
  NetlinkSocket outside_;
  NetlinkSocket inside_;
  std::vector<Device> devices_;
};

}  // namespace mydocker::runtime
