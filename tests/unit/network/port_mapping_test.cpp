#include "network/port_mapping.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/unit/network/lab.h"

namespace mydocker::network::test {
namespace {

using PortMappingTest = NetworkTest;

TEST_F(PortMappingTest, AddressesExcludeEachOtherByProtocol) {
  PortAllocator ports;
  const Ipv4Address container = Ipv4Address::parse("172.17.0.2");
  const auto reserve = [&](const std::string& ip, const std::string& protocol) {
    return ports.reserve({ip, 8080, 0, 80, protocol}, "0.0.0.0", container);
  };
  const ReservedPort first = reserve("127.0.0.1", "tcp");
  const ReservedPort second = reserve("127.0.0.2", "tcp");
  const ReservedPort third = reserve("", "udp");
  EXPECT_THROW_ERROR(reserve("", "tcp"), ErrorKind::internal,
                     "Bind for 0.0.0.0:8080 failed: port is already allocated");
  EXPECT_THROW_ERROR(reserve("127.0.0.1", "udp"), ErrorKind::internal, "port is already allocated");
  ports.release(first.binding);
  EXPECT_THROW_ERROR(reserve("", "tcp"), ErrorKind::internal, "port is already allocated");
}

TEST_F(PortMappingTest, EphemeralPortsSkipThoseOfOtherPrograms) {
  write_sysctl("net/ipv4/ip_local_port_range", "40000 40003");
  const Service local("tcp", "0.0.0.0", 40001, "host");
  PortAllocator ports;
  std::vector<ReservedPort> reserved;
  std::vector<int> numbers;
  for (int i = 0; i < 3; ++i) {
    reserved.push_back(ports.reserve({"", 0, 0, 80, "tcp"}, "0.0.0.0", {}));
    numbers.push_back(reserved.back().binding.host_port);
  }
  EXPECT_EQ(numbers, (std::vector<int>{40000, 40002, 40003}));
  EXPECT_THROW_ERROR(ports.reserve({"", 0, 0, 80, "tcp"}, "0.0.0.0", {}), ErrorKind::internal,
                     "all ports are allocated");
}

TEST_F(PortMappingTest, APortInTimeWaitCanBeHeldAndStaysExclusive) {
  {  // the server closes first: its port waits for a minute
    const Service server("tcp", "127.0.0.1", 8080, "host");
    ASSERT_EQ(ask("tcp", "127.0.0.1", 8080), "host 127.0.0.1");
  }
  const UniqueFd holder = hold_port("tcp", {}, 8080);
  ASSERT_TRUE(holder);
  const UniqueFd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(other.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(8080);
  EXPECT_NE(::bind(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080, 200), "");  // bound, but not listening
}

}  // namespace
}  // namespace mydocker::network::test
