#include "network/host_watch.h"

#include <arpa/inet.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/netlink.h"
#include "engine/base/sys.h"

namespace mydocker::network {
namespace {

/// What takes something away, or puts a rule where none of ours is.
bool is_change(int type) {
  return type == NFT_MSG_DELTABLE || type == NFT_MSG_DELCHAIN || type == NFT_MSG_DELRULE || type == NFT_MSG_DELSET ||
         type == NFT_MSG_DELSETELEM || type == NFT_MSG_NEWRULE;
}

bool is_own_thread(std::uint32_t thread_id) { return path_exists(concat("/proc/self/task/", thread_id)); }

/// The end of a transaction names the thread that committed it.
bool is_own_commit(std::span<const std::uint8_t> attributes) {
  std::uint32_t committer = 0;
  for_each_attribute(attributes, [&](std::uint16_t type, std::span<const std::uint8_t> value) {
    if (type == NFTA_GEN_PROC_PID) committer = ntohl(read_u32(value));
  });
  return committer != 0 && is_own_thread(committer);
}

void join_group(int fd, int group) {
  if (::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
    throw sys_error("watch the host's network");
  }
}

/// A socket that hears a multicast group; reading it never blocks.
UniqueFd listen_to(int protocol, int group) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw sys_error("watch the host's network");
  }
  join_group(fd.get(), group);
  return fd;
}

/// Hands every message that is there to `visit`. true: the kernel had to drop some.
bool read_messages(int fd, const std::function<void(const nlmsghdr&, std::span<const std::uint8_t>)>& visit) {
  bool lost = false;
  std::array<std::uint8_t, 32 << 10> buffer;
  for (;;) {
    const ssize_t size = retry_on_eintr([&] { return ::recv(fd, buffer.data(), buffer.size(), 0); });
    if (size < 0 && errno == ENOBUFS) {
      lost = true;
      continue;
    }
    if (size <= 0) return lost;
    for_each_message({buffer.data(), static_cast<std::size_t>(size)}, visit);
  }
}

void call(const std::function<void()>& callback) {
  try {
    callback();
  } catch (const Error&) {
    // The kernel refused (no memory, no right): the next change is the next try.
  }
}

}  // namespace

HostWatch::HostWatch(std::string table, Callbacks callbacks)
    : table_(std::move(table)),
      callbacks_(std::move(callbacks)),
      tables_(listen_to(NETLINK_NETFILTER, NFNLGRP_NFTABLES)),
      routing_(listen_to(NETLINK_ROUTE, RTNLGRP_IPV4_IFADDR)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (!stop_) throw sys_error("eventfd");
  join_group(routing_.get(), RTNLGRP_IPV4_NETCONF);
  thread_ = std::thread([this] { run(); });
}

HostWatch::~HostWatch() {
  const std::uint64_t one = 1;
  write_all(stop_.get(), {reinterpret_cast<const char*>(&one), sizeof one});
  thread_.join();
}

void HostWatch::run() {
  std::array<pollfd, 3> wanted{pollfd{stop_.get(), POLLIN, 0}, pollfd{tables_.get(), POLLIN, 0},
                               pollfd{routing_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(wanted.data(), wanted.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (wanted[0].revents != 0) return;
    if (read_table_events()) call(callbacks_.table_changed);
    if (read_routing_events()) call(callbacks_.routing_changed);
  }
}

bool HostWatch::read_table_events() {
  bool foreign = false;
  const bool lost = read_messages(tables_.get(), [&](const nlmsghdr& header, std::span<const std::uint8_t> payload) {
    if (payload.size() < sizeof(nfgenmsg)) return;
    const int type = header.nlmsg_type & 0xff;
    const std::span<const std::uint8_t> attributes = payload.subspan(sizeof(nfgenmsg));
    if (type == NFT_MSG_NEWGEN) {
      foreign = foreign || (touched_ && !is_own_commit(attributes));
      touched_ = false;
    } else if (is_change(type) && (payload[0] == NFPROTO_INET || payload[0] == NFPROTO_BRIDGE)) {
      // The table's name is attribute 1 of every object's message.
      for_each_attribute(attributes, [&](std::uint16_t one, std::span<const std::uint8_t> value) {
        if (one == NFTA_TABLE_NAME && read_text(value) == table_) touched_ = true;
      });
    }
  });
  return foreign || lost;  // one of the lost may have been about our table
}

bool HostWatch::read_routing_events() {
  bool changed = false;
  const bool lost = read_messages(routing_.get(), [&](const nlmsghdr& header, std::span<const std::uint8_t> payload) {
    if (header.nlmsg_type == RTM_NEWADDR) changed = true;
    if (header.nlmsg_type != RTM_NEWNETCONF || payload.size() < NLMSG_ALIGN(sizeof(netconfmsg))) return;
    for_each_attribute(payload.subspan(NLMSG_ALIGN(sizeof(netconfmsg))),
                       [&](std::uint16_t type, std::span<const std::uint8_t> value) {
                         if (type == NETCONFA_IFINDEX && static_cast<int>(read_u32(value)) == NETCONFA_IFINDEX_ALL)
                           changed = true;
                       });
  });
  return changed || lost;
}

}  // namespace mydocker::network
