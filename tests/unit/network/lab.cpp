#include "tests/unit/network/lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "engine/base/digest.h"
#include "engine/base/sys.h"
#include "network/sandbox.h"

namespace mydocker::network::test {
namespace {

sockaddr_in make_address(const std::string& address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &out.sin_addr) != 1) throw Error(ErrorKind::invalid_argument, address);
  return out;
}

UniqueFd open_own_netns() { return open_file("/proc/thread-self/ns/net", O_RDONLY); }

bool wait_for(int fd, short events, int timeout_ms) {
  pollfd wanted{fd, events, 0};
  return ::poll(&wanted, 1, timeout_ms) == 1 && (wanted.revents & events) != 0;
}

}  // namespace

Netns::Netns() {
  std::thread([this] {
    if (::unshare(CLONE_NEWNET) == 0) fd_ = open_own_netns();
  }).join();
  if (!fd_) throw Error(ErrorKind::internal, "cannot make a network namespace");
}

void run_in(int netns_fd, const std::function<void()>& work) { run_in_netns(netns_fd, work); }

// --- services and clients ------------------------------------------------------------------------------------------

Service::Service(const Netns& netns, std::string protocol, std::uint16_t port, std::string name)
    : protocol_(std::move(protocol)), name_(std::move(name)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  netns.run([&] { open("0.0.0.0", port); });
  thread_ = std::thread([this] { serve(); });
}

Service::Service(std::string protocol, std::string address, std::uint16_t port, std::string name)
    : protocol_(std::move(protocol)), name_(std::move(name)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  open(address, port);
  thread_ = std::thread([this] { serve(); });
}

Service::~Service() {
  const std::uint64_t one = 1;
  write_all(stop_.get(), {reinterpret_cast<const char*>(&one), sizeof one});
  thread_.join();
}

void Service::open(const std::string& address, std::uint16_t port) {
  socket_ = UniqueFd(::socket(AF_INET, (protocol_ == "udp" ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in own = make_address(address, port);
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) throw sys_error("bind");
  if (protocol_ == "tcp" && ::listen(socket_.get(), 16) != 0) throw sys_error("listen");
}

void Service::serve() {
  for (;;) {
    std::array<pollfd, 2> wanted{pollfd{socket_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(wanted.data(), wanted.size(), -1) < 0) continue;
    if (wanted[1].revents != 0) return;
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    std::array<char, 64> text{};
    if (protocol_ == "udp") {
      char byte = 0;
      ::recvfrom(socket_.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&peer), &size);
    }
    UniqueFd client;
    if (protocol_ == "tcp") {
      client = UniqueFd(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
      if (!client) continue;
    }
    ::inet_ntop(AF_INET, &peer.sin_addr, text.data(), text.size());
    const std::string answer = concat(name_, ' ', text.data());
    if (client) {
      [[maybe_unused]] const ssize_t sent = ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    } else {
      ::sendto(socket_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  }
}

std::string ask(const std::string& protocol, const std::string& address, std::uint16_t port, int timeout_ms) {
  const bool udp = protocol == "udp";
  const UniqueFd fd(::socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in peer = make_address(address, port);
  const int connected = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
  if (connected != 0 && errno != EINPROGRESS) return "";
  if (udp) {
    if (::send(fd.get(), "?", 1, 0) != 1) return "";
  } else if (!wait_for(fd.get(), POLLOUT, timeout_ms)) {
    return "";
  }
  if (!wait_for(fd.get(), POLLIN, timeout_ms)) return "";
  std::array<char, 128> text{};
  const ssize_t size = ::recv(fd.get(), text.data(), text.size(), 0);
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

std::string ask_from(const Netns& netns, const std::string& protocol, const std::string& address, std::uint16_t port,
                     int timeout_ms) {
  return netns.run([&] { return ask(protocol, address, port, timeout_ms); });
}

bool ping(const std::string& address, int timeout_ms) {
  const UniqueFd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!fd) throw sys_error("raw socket");
  icmphdr request{};
  request.type = ICMP_ECHO;
  request.un.echo.id = htons(static_cast<std::uint16_t>(fd.get() + 7000));
  request.un.echo.sequence = htons(1);
  std::uint32_t sum = 0;
  std::array<std::uint16_t, sizeof request / 2> words{};
  std::memcpy(words.data(), &request, sizeof request);
  for (const std::uint16_t word : words) sum += word;
  sum = (sum >> 16) + (sum & 0xffff);
  request.checksum = static_cast<std::uint16_t>(~sum);
  const sockaddr_in peer = make_address(address, 0);
  if (::sendto(fd.get(), &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) < 0) {
    return false;
  }
  while (wait_for(fd.get(), POLLIN, timeout_ms)) {
    std::array<char, 256> packet{};
    const ssize_t size = ::recv(fd.get(), packet.data(), packet.size(), 0);
    if (size < 28) continue;
    icmphdr answer{};
    std::memcpy(&answer, packet.data() + (packet[0] & 15) * 4, sizeof answer);
    if (answer.type == ICMP_ECHOREPLY && answer.un.echo.id == request.un.echo.id) return true;
  }
  return false;
}

bool ping_from(const Netns& netns, const std::string& address, int timeout_ms) {
  return netns.run([&] { return ping(address, timeout_ms); });
}

// --- wires -----------------------------------------------------------------------------------------------------------

namespace {

/// -1 = the namespace of the calling thread.
void run_at(int netns_fd, const std::function<void()>& work) {
  if (netns_fd < 0) {
    work();
  } else {
    run_in(netns_fd, work);
  }
}

void raise_end(const std::string& name, const std::string& address) {
  NetlinkSocket socket(NETLINK_ROUTE);
  const int index = find_link(socket, name)->index;
  add_address(socket, index, Ipv4Network::parse(address));
  set_up(socket, index);
}

void settle_end(const std::string& name) {
  NetlinkSocket socket(NETLINK_ROUTE);
  settle_carrier(socket, name);
}

}  // namespace

void connect_namespaces(int first, const std::string& first_name, const std::string& first_address, int second,
                        const std::string& second_name, const std::string& second_address) {
  const auto make = [&] {
    NetlinkSocket socket(NETLINK_ROUTE);
    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create cable");
    message.header(ifinfomsg{});
    message.attribute_text(IFLA_IFNAME, first_name);
    message.begin(IFLA_LINKINFO).attribute_text(IFLA_INFO_KIND, "veth").begin(IFLA_INFO_DATA).begin(VETH_INFO_PEER);
    message.header(ifinfomsg{});
    message.attribute_text(IFLA_IFNAME, second_name);
    message.attribute_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(second));
    message.end().end().end();
    socket.request(message);
  };
  run_at(first, make);
  run_at(first, [&] { raise_end(first_name, first_address); });
  run_at(second, [&] { raise_end(second_name, second_address); });
  run_at(first, [&] { settle_end(first_name); });
  run_at(second, [&] { settle_end(second_name); });
}

void add_route(const std::string& destination, const std::string& gateway) {
  const Ipv4Network range = Ipv4Network::parse(destination);
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = static_cast<std::uint8_t>(range.prefix_length);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "add route");
  message.header(header);
  if (range.prefix_length > 0) message.attribute_u32(RTA_DST, htonl(range.first().value));
  message.attribute_u32(RTA_GATEWAY, htonl(Ipv4Address::parse(gateway).value));
  NetlinkSocket socket(NETLINK_ROUTE);
  socket.request(message);
}

void write_sysctl(const std::string& name, const std::string& value) {
  write_kernel_file(concat("/proc/sys/", name), value);
}

std::string nft(const std::string& text) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), nft_ctx_free);
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), text.c_str()) != 0) {
    throw Error(ErrorKind::internal, nft_ctx_get_error_buffer(context.get()));
  }
  return nft_ctx_get_output_buffer(context.get());
}

TEST(NftHelper, DISABLED_Run) {
  const char* text = ::getenv("NETWORK_TEST_RULES");
  if (text == nullptr) GTEST_SKIP() << "runs only as a child of another case";
  nft(text);
}

bool nft_by_another_program(const std::string& text) {
  return run_helper("NftHelper.*", {concat("NETWORK_TEST_RULES=", text)}).success();
}

ExitStatus run_helper(const std::string& test_case, std::vector<std::string> environment,
                      std::vector<std::pair<int, int>> fds) {
  SpawnOptions options;
  options.program = "/proc/self/exe";
  options.arguments = {"network_test", "--gtest_also_run_disabled_tests", concat("--gtest_filter=", test_case),
                       "--gtest_brief=1"};
  options.environment = std::move(environment);
  options.fds = std::move(fds);
  Process process = Process::spawn(options);
  return process.wait();
}

// --- the fixture -----------------------------------------------------------------------------------------------------

void NetworkTest::SetUp() {
  REQUIRE_ROOT();
  REQUIRE_NAMESPACES();
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);  // the last case's namespace goes with its last socket
  NetlinkSocket socket(NETLINK_ROUTE);
  set_loopback_up(socket);
  tree_.emplace();
  restart();
}

void NetworkTest::TearDown() {
  networks_.reset();
  database_.reset();
}

void NetworkTest::restart(Options options) {
  networks_.reset();
  database_.reset();
  database_ = std::make_unique<Database>(tree_->path("state.db"));
  networks_ = std::make_unique<Networks>(*database_, std::move(options));
}

AttachRequest NetworkTest::request(const std::string& container, const Netns& netns, std::vector<PortRequest> ports) {
  AttachRequest request;
  request.container_id = make_container_id(container);
  request.container_name = container;
  request.network_id = bridge_id();
  request.netns_fd = netns.fd();
  request.ports = std::move(ports);
  return request;
}

std::string NetworkTest::snapshot() {
  std::string text;
  NetlinkSocket socket(NETLINK_ROUTE);
  for (const Link& link : list_links(socket)) text += concat(link.name, ' ', link.alias, ' ', link.master, '\n');
  for (const LinkAddress& one : list_addresses(socket)) text += concat(one.index, ' ', one.address.text(), '\n');
  text += nft("list ruleset");
  database_->transaction([&](Connection& db) {
    Statement select = db.prepare("SELECT endpoint_id FROM network_endpoints ORDER BY endpoint_id");
    while (select.step()) text += select.text(0) + "\n";
  });
  return text;
}

std::string make_container_id(const std::string& name) { return sha256_of(name).hex(); }

}  // namespace mydocker::network::test
