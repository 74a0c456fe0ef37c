#include "network/table_watch.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "network/netlink.h"

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

}  // namespace

TableWatch::TableWatch(std::string table, std::function<void()> restore)
    : table_(std::move(table)),
      restore_(std::move(restore)),
      socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (!socket_ || !stop_) throw sys_error("watch nftables");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  const int group = NFNLGRP_NFTABLES;
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::setsockopt(socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
    throw sys_error("watch nftables");
  }
  thread_ = std::thread([this] { run(); });
}

TableWatch::~TableWatch() {
  const std::uint64_t one = 1;
  write_all(stop_.get(), {reinterpret_cast<const char*>(&one), sizeof one});
  thread_.join();
}

void TableWatch::run() {
  std::array<pollfd, 2> wanted{pollfd{socket_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(wanted.data(), wanted.size(), -1) < 0 && errno != EINTR) return;
    if (wanted[1].revents != 0) return;
    if (!read_events()) continue;
    try {
      restore_();
    } catch (const Error&) {
      // The kernel refused (no memory, no right): the next change of the table is the next try.
    }
  }
}

bool TableWatch::read_events() {
  bool foreign = false;
  std::array<std::uint8_t, 64 << 10> buffer;
  for (;;) {
    const ssize_t size = retry_on_eintr([&] { return ::recv(socket_.get(), buffer.data(), buffer.size(), 0); });
    if (size < 0 && errno == ENOBUFS) {  // events were lost: one of them may have been ours
      foreign = true;
      continue;
    }
    if (size <= 0) return foreign;
    for_each_message({buffer.data(), static_cast<std::size_t>(size)},
                     [&](const nlmsghdr& header, std::span<const std::uint8_t> payload) {
                       if (payload.size() < sizeof(nfgenmsg)) return;
                       const int type = header.nlmsg_type & 0xff;
                       const std::span<const std::uint8_t> attributes = payload.subspan(sizeof(nfgenmsg));
                       if (type == NFT_MSG_NEWGEN) {
                         foreign = foreign || (touched_ && !is_own_commit(attributes));
                         touched_ = false;
                       } else if (is_change(type) && payload[0] == NFPROTO_INET) {
                         // The table's name is attribute 1 of every object's message.
                         for_each_attribute(attributes, [&](std::uint16_t one, std::span<const std::uint8_t> value) {
                           if (one == NFTA_TABLE_NAME && read_text(value) == table_) touched_ = true;
                         });
                       }
                     });
  }
}

}  // namespace mydocker::network
