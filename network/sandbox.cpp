#include "network/sandbox.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>

#include <exception>
#include <optional>
#include <thread>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::network {
namespace {

/// /proc/sys/net shows the namespace of the thread that opens it.
void disable_ipv6(const std::string& link) {
  const UniqueFd file = find_at(AT_FDCWD, concat("/proc/sys/net/ipv6/conf/", link, "/disable_ipv6"), O_WRONLY);
  if (file) write_all(file.get(), "1");  // a kernel without IPv6 has no such file
}

void write_sysctl(const std::string& link, const LinkSysctl& sysctl) {
  const std::string path = concat("/proc/sys/net/", sysctl.group, '/', link, '/', sysctl.name);
  try {
    write_all(open_file(path, O_WRONLY).get(), sysctl.value);
  } catch (const Error& error) {  // what was asked for, not we
    throw Error(ErrorKind::invalid_argument,
                concat("endpoint sysctl ", path, "=", sysctl.value, ": ", error.message()));
  }
}

}  // namespace

void run_in_netns(int netns_fd, const std::function<void()>& work) {
  std::exception_ptr failure;
  std::thread thread([&] {
    try {
      if (::setns(netns_fd, CLONE_NEWNET) != 0) throw sys_error("enter network namespace");
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  });
  thread.join();
  if (failure) std::rethrow_exception(failure);
}

NetlinkSocket open_socket_in_netns(int netns_fd) {
  std::optional<NetlinkSocket> socket;
  run_in_netns(netns_fd, [&] { socket.emplace(NETLINK_ROUTE); });
  return std::move(*socket);
}

void fill_netns(int netns_fd, const InnerLink& link, const std::vector<LinkSysctl>& sysctls) {
  std::optional<NetlinkSocket> socket;
  run_in_netns(netns_fd, [&] {
    disable_ipv6(link.name);
    for (const LinkSysctl& sysctl : sysctls) write_sysctl(link.name, sysctl);
    socket.emplace(NETLINK_ROUTE);
  });
  settle_carrier(*socket, configure_inner_link(*socket, link));
}

}  // namespace mydocker::network
