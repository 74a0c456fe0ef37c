#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"

/// The kernel's configuration sockets (man 7 netlink), as far as links, addresses, routes and nftables need them.
/// Messages are built here, byte by byte, because a batch of them in one sendmsg(2) is what makes an attach cheap.
namespace mydocker {

/// One request. The pieces follow the header in the order of the calls; every piece is padded to four bytes. An
/// attribute, nested ones included, has at most 65535 bytes: else Error{invalid_argument}.
class NetlinkMessage {
 public:
  /// `what` names the request in errors: "add address 172.17.0.2/16 to eth0".
  NetlinkMessage(std::uint16_t type, std::uint16_t flags, std::string what);

  /// A fixed structure of the family (ifinfomsg, rtmsg, nfgenmsg ...).
  template <typename Header>
  NetlinkMessage& header(const Header& value) {
    append(&value, sizeof value);
    return *this;
  }
  NetlinkMessage& attribute(std::uint16_t type, std::span<const std::uint8_t> bytes);
  NetlinkMessage& attribute_u8(std::uint16_t type, std::uint8_t value);
  NetlinkMessage& attribute_u16(std::uint16_t type, std::uint16_t value);
  NetlinkMessage& attribute_u32(std::uint16_t type, std::uint32_t value);
  /// With its terminating zero.
  NetlinkMessage& attribute_text(std::uint16_t type, std::string_view text);
  /// Opens an attribute that contains others; every begin has its end.
  NetlinkMessage& begin(std::uint16_t type);
  NetlinkMessage& end();

  const std::string& what() const { return what_; }
  /// The bytes, with length, sequence number and flags filled in.
  const std::vector<std::uint8_t>& finish(std::uint32_t sequence);

 private:
  void append(const void* data, std::size_t size);
  std::uint16_t checked_length(std::size_t length) const;

  std::vector<std::uint8_t> bytes_;
  std::vector<std::size_t> open_;
  std::string what_;
};

/// The messages of a packet: calls `visit(header, payload)` for each; a malformed length ends the walk (SECURITY 8).
void for_each_message(std::span<const std::uint8_t> packet,
                      const std::function<void(const nlmsghdr&, std::span<const std::uint8_t>)>& visit);
/// The attributes of an answer: calls `visit(type, payload)` for each; the same for malformed lengths.
void for_each_attribute(std::span<const std::uint8_t> bytes,
                        const std::function<void(std::uint16_t, std::span<const std::uint8_t>)>& visit);
/// The number in a payload of that size, host byte order; 0 when the payload is shorter.
std::uint32_t read_u32(std::span<const std::uint8_t> bytes);
std::uint16_t read_u16(std::span<const std::uint8_t> bytes);
/// The text up to the first zero.
std::string read_text(std::span<const std::uint8_t> bytes);

/// What became of one request of a batch.
struct NetlinkResult {
  int errno_value = 0;      ///< 0 = done
  std::string kernel_text;  ///< the kernel's own explanation (extended acknowledgement), or ""
};

/// A netlink socket. It belongs to the network namespace of the thread that opened it, whoever uses it later. One
/// thread at a time; blocks on the kernel (which answers at once).
class NetlinkSocket {
 public:
  /// `protocol` is NETLINK_ROUTE or NETLINK_NETFILTER. Throws Error{internal}.
  explicit NetlinkSocket(int protocol);

  /// Sends one request and waits for its acknowledgement. Throws Error{internal} "<what>: File exists (...)".
  void request(NetlinkMessage& message);
  /// Sends all in one go; every one is tried. One result for each.
  std::vector<NetlinkResult> batch(std::span<NetlinkMessage> messages);
  /// As batch, but throws the first failure.
  void request_all(std::span<NetlinkMessage> messages);
  /// Asks and hands every answer's type and payload (after the netlink header) to `visit`. Throws Error{internal};
  /// a dump that the kernel calls inconsistent is asked again.
  void query(NetlinkMessage& message, const std::function<void(std::uint16_t, std::span<const std::uint8_t>)>& visit);
  /// An nftables transaction: begin, the messages, end; all or nothing. Result of the first failure, or success.
  NetlinkResult transaction(std::span<NetlinkMessage> messages);

  int fd() const { return fd_.get(); }

 private:
  void send(std::span<const std::uint8_t> bytes);
  /// One packet of the kernel; valid until the next call.
  std::span<const std::uint8_t> receive();

  UniqueFd fd_;
  std::vector<std::uint8_t> buffer_;
  std::uint32_t sequence_ = 1;
};

/// Throws Error{invalid_argument} for what cannot be an interface name (man 7 netdevice: at most 15 bytes, no '/', ':',
/// blank, nor a '%', which the kernel takes for a template).
void check_interface_name(std::string_view name);

/// Error{internal} for a failed request.
[[noreturn]] void throw_netlink_error(const std::string& what, const NetlinkResult& result);

}  // namespace mydocker
