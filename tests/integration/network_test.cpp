// Bridge, none, host and shared networks; published ports; the files of name resolution.

#include <arpa/inet.h>
#include <sys/socket.h>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class NetworkTest : public DaemonTest {
 protected:
  static json::object bridge() { return {{"NetworkMode", "bridge"}}; }
  std::string address_of(const std::string& id) { return text(at(inspect(id), "NetworkSettings.IPAddress")); }
  /// What a TCP service answers to somebody on the host.
  static std::string ask(const std::string& address, const std::string& port) {
    const CommandResult result = run_command({payload_program(), "connect", address, port});
    return result.out + result.err;
  }
  std::string published_port(const std::string& id, const std::string& key = "80/tcp") {
    const json::value settings = at(inspect(id), "NetworkSettings");
    const json::value ports = at(settings, "Ports");
    if (!ports.is_object() || !ports.get_object().contains(key)) return "";
    return text(at(ports.get_object().at(key), "0.HostPort"));
  }
};

TEST_F(NetworkTest, NoneHasOnlyLoopback) {
  EXPECT_EQ(run_to_end({.command = {"/payload", "links"}}).out, "lo 127.0.0.1/8\n");
}

TEST_F(NetworkTest, BridgeGivesEth0InTheDefaultSubnet) {
  const Outcome outcome = run_to_end({.command = {"/payload", "links"}, .host = bridge()});
  EXPECT_NE(outcome.out.find("eth0 172.17."), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("/16\n"), std::string::npos) << outcome.out;
  const Outcome route = run_to_end({.command = {"ip", "route"}, .host = bridge()});
  EXPECT_NE(route.out.find("default via 172.17.0.1 dev eth0"), std::string::npos) << route.out;
}

TEST_F(NetworkTest, InspectTellsTheEndpoint) {
  const std::string id = run({.host = bridge()});
  const json::value settings = at(inspect(id), "NetworkSettings");
  EXPECT_TRUE(text(at(settings, "IPAddress")).starts_with("172.17.0.")) << write_json(settings);
  EXPECT_EQ(text(at(settings, "Gateway")), "172.17.0.1");
  EXPECT_EQ(at(settings, "IPPrefixLen").to_number<int>(), 16);
  EXPECT_EQ(text(at(settings, "MacAddress")).size(), 17U);
  EXPECT_EQ(text(at(settings, "Networks.bridge.IPAddress")), text(at(settings, "IPAddress")));
  EXPECT_EQ(text(at(settings, "Networks.bridge.NetworkID")).size(), 64U);
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(text(at(inspect(id), "NetworkSettings.IPAddress")), "");
}

TEST_F(NetworkTest, AContainerWithoutALinkHasAnEndpointAllTheSame) {
  for (const std::string network : {"host", "none"}) {
    const std::string id = run({.host = {{"NetworkMode", network}}});
    const json::value whole = client().get("/networks/" + network).json();
    const auto endpoint = [&](const std::string& key) {
      return text(at(inspect(id), concat("NetworkSettings.Networks.", network, ".", key)));
    };
    EXPECT_EQ(endpoint("NetworkID"), text(at(whole, "Id")));
    EXPECT_EQ(endpoint("EndpointID").size(), 64U);
    EXPECT_EQ(endpoint("EndpointID"), text(at(whole, concat("Containers.", id, ".EndpointID"))));
    EXPECT_EQ(endpoint("IPAddress"), "");
    EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
    EXPECT_EQ(endpoint("NetworkID"), text(at(whole, "Id")));
    EXPECT_EQ(endpoint("EndpointID"), "");
  }
}

TEST_F(NetworkTest, TwoContainersPingEachOther) {
  const std::string first = run({.host = bridge()});
  const std::string second = run({.host = bridge()});
  EXPECT_NE(address_of(first), address_of(second));
  const Outcome there = exec(second, {"ping", "-c", "1", "-W", "5", address_of(first)});
  EXPECT_EQ(there.code, 0) << there.out << there.err;
  const Outcome back = exec(first, {"ping", "-c", "1", "-W", "5", address_of(second)});
  EXPECT_EQ(back.code, 0) << back.out << back.err;
}

TEST_F(NetworkTest, TheHostReachesTheContainerAndBack) {
  const std::string id = run({.command = {"/payload", "listen", "80", "hello"}, .host = bridge()});
  wait_ready(id);
  EXPECT_EQ(ask(address_of(id), "80"), "172.17.0.1 hello\n");
  const Outcome out = exec(id, {"ping", "-c", "1", "-W", "5", "172.17.0.1"});
  EXPECT_EQ(out.code, 0) << out.out;
}

TEST_F(NetworkTest, HostNetworkIsTheEnginesOwn) {
  const Outcome outcome = run_to_end({.command = {"/payload", "links"}, .host = {{"NetworkMode", "host"}}});
  EXPECT_NE(outcome.out.find("mydocker0 172.17.0.1/16"), std::string::npos) << outcome.out;
}

TEST_F(NetworkTest, AContainersNetworkCanBeShared) {
  const std::string first = run({.host = bridge()});
  const Outcome outcome =
      run_to_end({.command = {"/payload", "links"}, .host = {{"NetworkMode", "container:" + first}}});
  EXPECT_NE(outcome.out.find("eth0 " + address_of(first)), std::string::npos) << outcome.out << outcome.err;
}

TEST_F(NetworkTest, WhoSharesAContainersNetworkGoesByItsName) {
  json::object extra{{"Hostname", "owner"}, {"Domainname", "example.org"}};
  const std::string first = run({.extra = extra, .host = bridge()});
  const std::string guest = run({.host = {{"NetworkMode", "container:" + first}}});
  const std::vector<std::string> names = {"sh", "-c", "hostname; cat /etc/hostname; echo $HOSTNAME"};
  EXPECT_EQ(exec(guest, names).out, "owner\nowner\nowner\n");
  EXPECT_EQ(text(at(inspect(guest), "Config.Hostname")), "owner");
  EXPECT_EQ(text(at(inspect(guest), "Config.Domainname")), "example.org");
  const std::string apart = run({.host = {{"NetworkMode", "container:" + first}, {"UTSMode", "host"}}});
  EXPECT_NE(exec(apart, {"hostname"}).out, "owner\n") << "the host's name stays with the host's namespace";
}

TEST_F(NetworkTest, APublishedPortAnswersFromLoopback) {
  json::object host = bridge();
  host["PortBindings"] = json::object{{"80/tcp", json::array{json::object{{"HostPort", "18080"}}}}};
  const std::string id = run({.command = {"/payload", "listen", "80", "published"}, .host = host});
  wait_ready(id);
  EXPECT_EQ(published_port(id), "18080");
  EXPECT_NE(ask("127.0.0.1", "18080").find("published"), std::string::npos) << ask("127.0.0.1", "18080");
  EXPECT_NE(ask("172.17.0.1", "18080").find("published"), std::string::npos);
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(ask("127.0.0.1", "18080").find("published"), std::string::npos);
}

TEST_F(NetworkTest, AnEphemeralPortIsVisibleWhenStartReturns) {
  json::object host = bridge();
  host["PortBindings"] = json::object{{"80/tcp", json::array{json::object{{"HostPort", ""}}}}};
  const std::string id = run({.command = {"/payload", "listen", "80", "x"}, .host = host});
  const std::string port = published_port(id);
  ASSERT_NE(port, "");
  EXPECT_GT(std::stoi(port), 1024);
  wait_ready(id);
  EXPECT_NE(ask("127.0.0.1", port).find("x"), std::string::npos);
  const json::value listed = client().get("/containers/json").json();
  EXPECT_EQ(at(listed, "0.Ports.0.PrivatePort").to_number<int>(), 80);
  EXPECT_EQ(std::to_string(at(listed, "0.Ports.0.PublicPort").to_number<int>()), port);
}

TEST_F(NetworkTest, APortIsPublishedOnOneAddressOnlyWhenAsked) {
  json::object host = bridge();
  host["PortBindings"] =
      json::object{{"80/tcp", json::array{json::object{{"HostIp", "127.0.0.1"}, {"HostPort", "18081"}}}}};
  const std::string id = run({.command = {"/payload", "listen", "80", "local"}, .host = host});
  wait_ready(id);
  EXPECT_NE(ask("127.0.0.1", "18081").find("local"), std::string::npos);
  EXPECT_EQ(ask("172.17.0.1", "18081").find("local"), std::string::npos);
}

TEST_F(NetworkTest, AUsedPortIsRefusedByName) {
  json::object host = bridge();
  host["PortBindings"] = json::object{{"80/tcp", json::array{json::object{{"HostPort", "18082"}}}}};
  const std::string first = run({.command = {"/payload", "listen", "80", "x"}, .host = host});
  const std::string second = create({.command = {"/payload", "listen", "80", "x"}, .host = host});
  const Response response = client().post("/containers/" + second + "/start");
  EXPECT_EQ(response.status, 500) << response.body;
  EXPECT_NE(response.message().find("Bind for 0.0.0.0:18082 failed: port is already allocated"), std::string::npos)
      << response.body;
}

TEST_F(NetworkTest, APortTakenByAnotherProgramIsRefused) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(18083);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  json::object host = bridge();
  host["PortBindings"] = json::object{{"80/tcp", json::array{json::object{{"HostPort", "18083"}}}}};
  const std::string id = create({.host = host});
  const Response response = client().post("/containers/" + id + "/start");
  EXPECT_EQ(response.status, 500) << response.body;
  EXPECT_NE(response.message().find("18083"), std::string::npos) << response.body;
}

TEST_F(NetworkTest, NoOtherProgramCanTakeAPublishedPort) {
  json::object host = bridge();
  host["PortBindings"] = json::object{{"80/tcp", json::array{json::object{{"HostPort", "18084"}}}}};
  run({.host = host});
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(18084);
  EXPECT_NE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

TEST_F(NetworkTest, HostsHostnameAndResolvConfAreWritten) {
  const std::string id = run({.extra = {{"Hostname", "named"}},
                              .host = {{"NetworkMode", "bridge"},
                                       {"ExtraHosts", json::array{"other:10.9.8.7"}},
                                       {"Dns", json::array{"9.9.9.9"}},
                                       {"DnsSearch", json::array{"example.org"}}}});
  const std::string hosts = exec(id, {"cat", "/etc/hosts"}).out;
  EXPECT_NE(hosts.find("127.0.0.1\tlocalhost"), std::string::npos) << hosts;
  EXPECT_NE(hosts.find(address_of(id) + "\tnamed"), std::string::npos) << hosts;
  EXPECT_NE(hosts.find("10.9.8.7\tother"), std::string::npos) << hosts;
  EXPECT_EQ(exec(id, {"cat", "/etc/hostname"}).out, "named\n");
  const std::string resolv = exec(id, {"cat", "/etc/resolv.conf"}).out;
  EXPECT_NE(resolv.find("nameserver 9.9.9.9"), std::string::npos) << resolv;
  EXPECT_NE(resolv.find("search example.org"), std::string::npos) << resolv;
}

TEST_F(NetworkTest, ThreeBuiltInNetworksAreListedAndInspected) {
  const json::value list = client().get("/networks").json();
  std::string names;
  for (const json::value& network : list.as_array()) names += text(at(network, "Name")) + " ";
  for (const char* name : {"bridge ", "host ", "none "}) EXPECT_NE(names.find(name), std::string::npos) << names;
  const std::string id = run({.name = "member", .host = bridge()});
  const json::value network = client().get("/networks/bridge").json();
  EXPECT_EQ(text(at(network, "IPAM.Config.0.Subnet")), "172.17.0.0/16");
  EXPECT_EQ(text(at(network, "Driver")), "bridge");
  EXPECT_EQ(text(at(network, concat("Containers.", id, ".Name"))), "member") << write_json(network);
  EXPECT_EQ(client().get("/networks/nope").status, 404);
  EXPECT_EQ(client().remove("/networks/nope").status, 404);
  const Response kept = client().remove("/networks/bridge");
  EXPECT_EQ(kept.status, 403);
  EXPECT_EQ(kept.message(), "bridge is a pre-defined network and cannot be removed");
}

TEST_F(NetworkTest, AddressesComeBack) {
  // More containers than a small pool could bear if addresses leaked.
  for (int i = 0; i < 20; ++i) {
    const std::string id = run({.host = bridge()});
    EXPECT_TRUE(address_of(id).starts_with("172.17.0.")) << address_of(id);
    remove(id);
  }
}

TEST_F(NetworkTest, SandboxKeyCanBeEntered) {
  const std::string id = run({.host = bridge()});
  const std::string key = text(at(inspect(id), "NetworkSettings.SandboxKey"));
  const CommandResult inside = run_command({"nsenter", "--net=" + key, payload_program(), "links"});
  EXPECT_NE(inside.out.find("eth0 " + address_of(id)), std::string::npos) << key << inside.out << inside.err;
}

}  // namespace
}  // namespace mydocker::test
