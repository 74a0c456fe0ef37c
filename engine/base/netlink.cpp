#include "engine/base/netlink.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker {
namespace {

constexpr std::size_t alignment = 4;
constexpr std::size_t receive_buffer_bytes = 32 << 10;  // the kernel makes no larger answers

std::size_t align(std::size_t size) { return (size + alignment - 1) & ~(alignment - 1); }

/// The kernel's verdict in a NLMSG_ERROR answer, with its explanation when it gives one.
NetlinkResult read_verdict(const nlmsghdr& header, std::span<const std::uint8_t> payload) {
  NetlinkResult result;
  if (payload.size() < sizeof(nlmsgerr)) return {EBADMSG, ""};
  nlmsgerr verdict{};
  std::memcpy(&verdict, payload.data(), sizeof verdict);
  result.errno_value = -verdict.error;
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return result;
  std::size_t skip = sizeof(nlmsgerr);
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0) {  // the whole request stands in the answer
    if (verdict.msg.nlmsg_len < sizeof(nlmsghdr)) return result;
    skip += align(verdict.msg.nlmsg_len - sizeof(nlmsghdr));
  }
  if (skip > payload.size()) return result;
  for_each_attribute(payload.subspan(skip), [&](std::uint16_t type, std::span<const std::uint8_t> bytes) {
    if (type == NLMSGERR_ATTR_MSG) result.kernel_text = read_text(bytes);
  });
  return result;
}

/// Appends a finished message to a packet, optionally with the wish for an answer.
void add_to_packet(std::vector<std::uint8_t>& packet, const std::vector<std::uint8_t>& message, bool acknowledge) {
  const std::size_t at = packet.size();
  packet.insert(packet.end(), message.begin(), message.end());
  if (!acknowledge) return;
  nlmsghdr header{};
  std::memcpy(&header, packet.data() + at, sizeof header);
  header.nlmsg_flags |= NLM_F_ACK;
  std::memcpy(packet.data() + at, &header, sizeof header);
}

NetlinkMessage make_batch_mark(std::uint16_t type) {
  nfgenmsg family{};
  family.nfgen_family = AF_UNSPEC;
  family.version = NFNETLINK_V0;
  family.res_id = htons(NFNL_SUBSYS_NFTABLES);
  NetlinkMessage mark(type, 0, "nftables batch");
  mark.header(family);
  return mark;
}

}  // namespace

NetlinkMessage::NetlinkMessage(std::uint16_t type, std::uint16_t flags, std::string what) : what_(std::move(what)) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  bytes_.reserve(256);
  append(&header, sizeof header);
}

void NetlinkMessage::append(const void* data, std::size_t size) {
  const auto* first = static_cast<const std::uint8_t*>(data);
  bytes_.insert(bytes_.end(), first, first + size);
  bytes_.resize(align(bytes_.size()));
}

/// The length of an attribute has 16 bits: one that wrapped would make the rest attributes of its own (CVE-2021-43784).
std::uint16_t NetlinkMessage::checked_length(std::size_t length) const {
  if (length > 0xffff) throw Error(ErrorKind::invalid_argument, concat(what_, ": an attribute is too long"));
  return static_cast<std::uint16_t>(length);
}

NetlinkMessage& NetlinkMessage::attribute(std::uint16_t type, std::span<const std::uint8_t> bytes) {
  nlattr head{};
  head.nla_len = checked_length(sizeof head + bytes.size());
  head.nla_type = type;
  append(&head, sizeof head);
  append(bytes.data(), bytes.size());
  return *this;
}

NetlinkMessage& NetlinkMessage::attribute_u8(std::uint16_t type, std::uint8_t value) {
  return attribute(type, {&value, 1});
}

NetlinkMessage& NetlinkMessage::attribute_u16(std::uint16_t type, std::uint16_t value) {
  return attribute(type, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

NetlinkMessage& NetlinkMessage::attribute_u32(std::uint16_t type, std::uint32_t value) {
  return attribute(type, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

NetlinkMessage& NetlinkMessage::attribute_text(std::uint16_t type, std::string_view text) {
  const std::string terminated(text);
  return attribute(type, {reinterpret_cast<const std::uint8_t*>(terminated.c_str()), terminated.size() + 1});
}

NetlinkMessage& NetlinkMessage::begin(std::uint16_t type) {
  open_.push_back(bytes_.size());
  nlattr head{};
  head.nla_type = static_cast<std::uint16_t>(type | NLA_F_NESTED);
  append(&head, sizeof head);
  return *this;
}

NetlinkMessage& NetlinkMessage::end() {
  const std::size_t at = open_.back();
  open_.pop_back();
  const std::uint16_t length = checked_length(bytes_.size() - at);
  std::memcpy(bytes_.data() + at, &length, sizeof length);  // nla_len is the first member
  return *this;
}

const std::vector<std::uint8_t>& NetlinkMessage::finish(std::uint32_t sequence) {
  nlmsghdr header{};
  std::memcpy(&header, bytes_.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
  header.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &header, sizeof header);
  return bytes_;
}

void for_each_message(std::span<const std::uint8_t> packet,
                      const std::function<void(const nlmsghdr&, std::span<const std::uint8_t>)>& visit) {
  while (packet.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, packet.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > packet.size()) return;
    visit(header, packet.subspan(sizeof header, header.nlmsg_len - sizeof header));
    const std::size_t step = align(header.nlmsg_len);
    if (step >= packet.size()) return;
    packet = packet.subspan(step);
  }
}

void for_each_attribute(std::span<const std::uint8_t> bytes,
                        const std::function<void(std::uint16_t, std::span<const std::uint8_t>)>& visit) {
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr head{};
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > bytes.size()) return;
    visit(head.nla_type & NLA_TYPE_MASK, bytes.subspan(sizeof head, head.nla_len - sizeof head));
    const std::size_t step = align(head.nla_len);
    if (step >= bytes.size()) return;
    bytes = bytes.subspan(step);
  }
}

std::uint32_t read_u32(std::span<const std::uint8_t> bytes) {
  std::uint32_t value = 0;
  if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::uint16_t read_u16(std::span<const std::uint8_t> bytes) {
  std::uint16_t value = 0;
  if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::string read_text(std::span<const std::uint8_t> bytes) {
  const auto* first = reinterpret_cast<const char*>(bytes.data());
  return {first, ::strnlen(first, bytes.size())};
}

NetlinkSocket::NetlinkSocket(int protocol)
    : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)), buffer_(receive_buffer_bytes) {
  if (!fd_) throw sys_error("netlink socket");
  const int on = 1;
  // A thousand published ports are one transaction. Limits, not allocations; without the right they stay as they are.
  const int large = 8 << 20;
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
  // Both only make errors clearer and shorter; old kernels know neither.
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
}

void NetlinkSocket::send(std::span<const std::uint8_t> bytes) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = retry_on_eintr([&] {
    return ::sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
                    sizeof kernel);
  });
  if (sent < 0) throw sys_error("netlink send");
}

std::span<const std::uint8_t> NetlinkSocket::receive() {
  for (;;) {
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof sender;
    const ssize_t size = retry_on_eintr([&] {
      return ::recvfrom(fd_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC, reinterpret_cast<sockaddr*>(&sender),
                        &sender_size);
    });
    if (size < 0) throw sys_error("netlink receive");
    if (sender.nl_pid != 0) continue;  // not the kernel: another process may write to our port
    if (static_cast<std::size_t>(size) > buffer_.size()) throw make_sys_error(EMSGSIZE, "netlink receive");
    return {buffer_.data(), static_cast<std::size_t>(size)};
  }
}

std::vector<NetlinkResult> NetlinkSocket::batch(std::span<NetlinkMessage> messages) {
  const std::uint32_t first = sequence_;
  std::vector<std::uint8_t> bytes;
  for (NetlinkMessage& message : messages) add_to_packet(bytes, message.finish(sequence_++), true);
  std::vector<NetlinkResult> results(messages.size());
  if (messages.empty()) return results;
  send(bytes);
  for (std::size_t answered = 0; answered < messages.size();) {
    for_each_message(receive(), [&](const nlmsghdr& header, std::span<const std::uint8_t> payload) {
      const std::size_t index = header.nlmsg_seq - first;
      if (header.nlmsg_type != NLMSG_ERROR || index >= messages.size()) return;
      results[index] = read_verdict(header, payload);
      ++answered;
    });
  }
  return results;
}

void NetlinkSocket::request_all(std::span<NetlinkMessage> messages) {
  const std::vector<NetlinkResult> results = batch(messages);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].errno_value != 0) throw_netlink_error(messages[i].what(), results[i]);
  }
}

void NetlinkSocket::request(NetlinkMessage& message) { request_all({&message, 1}); }

void NetlinkSocket::query(NetlinkMessage& message,
                          const std::function<void(std::uint16_t, std::span<const std::uint8_t>)>& visit) {
  const std::uint32_t sequence = sequence_++;
  const std::vector<std::uint8_t>& bytes = message.finish(sequence);
  nlmsghdr asked{};
  std::memcpy(&asked, bytes.data(), sizeof asked);
  const bool is_dump = (asked.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  send(bytes);
  NetlinkResult failure;
  for (bool done = false; !done;) {
    for_each_message(receive(), [&](const nlmsghdr& header, std::span<const std::uint8_t> payload) {
      if (header.nlmsg_seq != sequence) return;
      if (header.nlmsg_type == NLMSG_ERROR) {
        failure = read_verdict(header, payload);
        done = true;
      } else if (header.nlmsg_type == NLMSG_DONE) {
        done = true;
      } else {
        visit(header.nlmsg_type, payload);
        if (!is_dump) done = true;
      }
    });
  }
  if (failure.errno_value != 0) throw_netlink_error(message.what(), failure);
}

NetlinkResult NetlinkSocket::transaction(std::span<NetlinkMessage> messages) {
  std::vector<std::uint8_t> bytes;
  NetlinkMessage begin = make_batch_mark(NFNL_MSG_BATCH_BEGIN);
  NetlinkMessage end = make_batch_mark(NFNL_MSG_BATCH_END);
  const std::uint32_t first = sequence_;
  add_to_packet(bytes, begin.finish(sequence_++), false);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    add_to_packet(bytes, messages[i].finish(sequence_++), i + 1 == messages.size());
  }
  const std::uint32_t last = sequence_ - 1;
  add_to_packet(bytes, end.finish(sequence_++), false);
  if (messages.empty()) return {};
  send(bytes);
  // Failures are told in any case, in order, then the last one's answer. A broken batch is answered on its begin mark.
  NetlinkResult result;
  for (bool answered = false; !answered;) {
    for_each_message(receive(), [&](const nlmsghdr& header, std::span<const std::uint8_t> payload) {
      if (header.nlmsg_type != NLMSG_ERROR || header.nlmsg_seq - first > last - first) return;
      const NetlinkResult verdict = read_verdict(header, payload);
      if (verdict.errno_value != 0 && result.errno_value == 0) result = verdict;
      answered = answered || header.nlmsg_seq == first || header.nlmsg_seq == last;
    });
  }
  return result;
}

void check_interface_name(std::string_view name) {
  const bool bad = name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." ||
                   name.find_first_of("/:% \t\n\r\v\f") != std::string_view::npos ||
                   name.find('\0') != std::string_view::npos;
  if (bad) throw Error(ErrorKind::invalid_argument, concat("invalid interface name: \"", name, "\""));
}

void throw_netlink_error(const std::string& what, const NetlinkResult& result) {
  std::string text = what;
  if (!result.kernel_text.empty()) text = concat(text, " (", result.kernel_text, ")");
  throw make_sys_error(result.errno_value, std::move(text));
}

}  // namespace mydocker
