#include "network/port_mapping.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::network {
namespace {

Error bind_error(Ipv4Address host_ip, const std::string& port, std::string_view reason) {
  return Error(ErrorKind::internal, concat("Bind for ", host_ip.text(), ':', port, " failed: ", reason));
}

/// net.ipv4.ip_local_port_range of the calling thread's namespace.
PortRange ephemeral_range() {
  PortRange range{32768, 60999};
  const auto text = find_file_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", 64);
  if (!text) return range;
  char* end = nullptr;
  const unsigned long low = std::strtoul(text->c_str(), &end, 10);
  const unsigned long high = std::strtoul(end, nullptr, 10);
  if (low > 0 && low <= high && high <= 65535) {
    range = {static_cast<std::uint16_t>(low), static_cast<std::uint16_t>(high)};
  }
  return range;
}

bool try_bind(int fd, const sockaddr_in& address) {
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// TCP connections in TIME_WAIT keep a port from a plain bind for a minute after a program of the host served it. They
/// do not count with SO_REUSEADDR, but two such sockets could then share the port: so it listens for a moment, which no
/// two can, and keeps the port exclusively from then on.
bool bind_past_time_wait(int fd, const sockaddr_in& address) {
  const int on = 1;
  const int off = 0;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return false;
  if (!try_bind(fd, address) || ::listen(fd, 0) != 0) return false;
  ::shutdown(fd, SHUT_RDWR);  // back to merely bound
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off);
  return true;
}

}  // namespace

UniqueFd hold_port(const std::string& protocol, Ipv4Address host_ip, std::uint16_t port) {
  const int type = protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  const int number = protocol == "udp" ? IPPROTO_UDP : protocol == "sctp" ? IPPROTO_SCTP : IPPROTO_TCP;
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, number));
  if (!fd) {
    if (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT) return {};
    throw sys_error("socket for ", protocol);
  }
  if (number == IPPROTO_UDP) {
    const int small = 1;  // the kernel's minimum: nothing is ever read here
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(host_ip.value);
  if (try_bind(fd.get(), address)) return fd;
  if (errno == EADDRINUSE && number == IPPROTO_TCP && bind_past_time_wait(fd.get(), address)) return fd;
  throw sys_error("bind ", host_ip.text(), ':', port, '/', protocol);
}

bool PortAllocator::is_taken(const std::string& protocol, Ipv4Address host_ip, std::uint16_t port) const {
  const auto found = taken_.find({protocol, port});
  if (found == taken_.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(),
                     [&](Ipv4Address one) { return one == host_ip || one.value == 0 || host_ip.value == 0; });
}

ReservedPort PortAllocator::reserve_ephemeral(const PortRequest& request, Ipv4Address host_ip) {
  const PortRange range = ephemeral_range();
  const std::uint32_t count = std::uint32_t{range.last} - range.first + 1;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(range.first + next_ephemeral_++ % count);
    if (is_taken(request.protocol, host_ip, port)) continue;
    try {
      UniqueFd holder = hold_port(request.protocol, host_ip, port);
      return {{host_ip.text(), port, request.container_port, request.protocol}, std::move(holder)};
    } catch (const Error& error) {
      if (error.errno_value() != EADDRINUSE) throw;  // a program of the host has it: the next one
    }
  }
  throw bind_error(host_ip, "0", "all ports are allocated");
}

ReservedPort PortAllocator::reserve(const PortRequest& request, const std::string& host_ip, Ipv4Address container_ip) {
  if (request.protocol != "tcp" && request.protocol != "udp" && request.protocol != "sctp") {
    throw Error(ErrorKind::invalid_argument, concat("invalid proto: ", request.protocol));
  }
  const std::string& wanted = request.host_ip.empty() ? host_ip : request.host_ip;
  if (wanted.find(':') != std::string::npos) {
    throw Error(ErrorKind::not_implemented,
                concat("publishing on the IPv6 address ", wanted, " is not implemented yet"));
  }
  const Ipv4Address address = Ipv4Address::parse(wanted);
  const std::uint16_t first = request.host_port_first;
  const std::uint16_t last = std::max(first, request.host_port_last);
  std::optional<ReservedPort> reserved;
  if (first == 0) {
    try {
      reserved = reserve_ephemeral(request, address);
    } catch (const Error& error) {
      if (error.errno_value() == EADDRNOTAVAIL) throw bind_error(address, "0", "cannot assign requested address");
      throw;
    }
  }
  for (std::uint32_t port = first; !reserved && port <= last; ++port) {
    const auto number = static_cast<std::uint16_t>(port);
    if (is_taken(request.protocol, address, number)) {
      if (port < last) continue;
      if (first != last) throw bind_error(address, concat(first, '-', last), "all ports are allocated");
      throw bind_error(address, std::to_string(port), "port is already allocated");
    }
    try {
      UniqueFd holder = hold_port(request.protocol, address, number);
      reserved = {{address.text(), number, request.container_port, request.protocol}, std::move(holder)};
    } catch (const Error& error) {
      if (error.errno_value() == EADDRNOTAVAIL) {
        throw bind_error(address, std::to_string(port), "cannot assign requested address");
      }
      if (error.errno_value() != EADDRINUSE) throw;
      if (port < last) continue;
      throw Error(ErrorKind::internal,
                  concat("failed to bind host port for ", address.text(), ':', port, ':', container_ip.text(), ':',
                         request.container_port, '/', request.protocol, ": address already in use"));
    }
  }
  adopt(reserved->binding);
  return std::move(*reserved);
}

void PortAllocator::adopt(const PortBinding& binding) {
  taken_[{binding.protocol, binding.host_port}].push_back(Ipv4Address::parse(binding.host_ip));
}

void PortAllocator::release(const PortBinding& binding) {
  const auto found = taken_.find({binding.protocol, binding.host_port});
  if (found == taken_.end()) return;
  std::erase(found->second, Ipv4Address::parse(binding.host_ip));
  if (found->second.empty()) taken_.erase(found);
}

}  // namespace mydocker::network
