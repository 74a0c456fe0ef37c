#include <stdlib.h>

#include "engine/base/process.h"
#include "tests/unit/network/lab.h"

namespace mydocker::network::test {
namespace {

constexpr int inherited_netns_fd = 9;

/// What the engine does until the failpoint ends it: run as a process of its own by the cases below.
TEST(CrashHelper, DISABLED_AttachAndDetach) {
  const char* path = ::getenv("NETWORK_TEST_DATABASE");
  if (path == nullptr) GTEST_SKIP() << "runs only as a child of RecoverTest";
  Database database(path);
  Networks networks(database, {});
  AttachRequest request;
  request.container_id = make_container_id("web");
  request.container_name = "web";
  request.network_id = networks.get("bridge").id;
  request.netns_fd = inherited_netns_fd;
  request.ports = {{"", 8080, 0, 80, "tcp"}, {"127.0.0.1", 5353, 0, 53, "udp"}};
  networks.attach(request);
  networks.detach(request.container_id);
}

class RecoverTest : public NetworkTest, public ::testing::WithParamInterface<const char*> {
 protected:
  /// Attaches and detaches "web" in another process with this failpoint. How it ended.
  ExitStatus run_with(const std::string& failpoint, const Netns& container) {
    networks_.reset();
    database_.reset();
    return test::run_helper(
        "CrashHelper.*",
        {concat("MYDOCKER_FAILPOINTS=", failpoint), concat("NETWORK_TEST_DATABASE=", tree_->path("state.db"))},
        {{container.fd(), inherited_netns_fd}});
  }

  /// Deletes what would die with the container's namespace, at once.
  static void end_container_links() {
    NetlinkSocket socket(NETLINK_ROUTE);
    for (const Link& link : list_links(socket)) {
      if (link.kind == "veth") delete_link(socket, link.name);
    }
  }
};

/// An attach that fails is undone by the engine that made it.
class FailedAttachTest : public RecoverTest {};

const char* const failpoints_of_attach[] = {"network.attach", "network.rules",   "network.bridge",
                                            "network.veth",   "network.address", "network.publish"};
const char* const failpoints[] = {"network.attach",  "network.rules",   "network.bridge",   "network.veth",
                                  "network.address", "network.publish", "network.withdraw", "network.forget"};

TEST_P(RecoverTest, AKillAtAnyStepLeavesNothingAfterRecovery) {
  networks().prepare();
  {
    NetlinkSocket socket(NETLINK_ROUTE);
    delete_link(socket, "mydocker0");  // so that rules and bridge are steps, too
  }
  const Netns container;
  const ExitStatus status = run_with(concat(GetParam(), "=kill"), container);
  ASSERT_EQ(status.signal, SIGKILL) << "the failpoint was not passed";

  restart();
  networks().recover({});
  EXPECT_TRUE(networks().endpoints_of_container(make_container_id("web")).empty());
  NetlinkSocket socket(NETLINK_ROUTE);
  for (const Link& link : list_links(socket)) EXPECT_NE(link.kind, "veth") << link.name;
  const std::string rules = nft("list ruleset");
  EXPECT_EQ(rules.find("elements = { tcp"), std::string::npos) << rules;
  EXPECT_EQ(rules.find("127.0.0.1 . udp"), std::string::npos) << rules;

  const Attachment web = networks().attach(request("web", container, {{"", 8080, 0, 80, "tcp"}}));
  const Service http(container, "tcp", 80, "web");
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080), "web 172.17.0.1");
}

TEST_P(FailedAttachTest, AnErrorAtAnyStepLeavesNothing) {
  networks().prepare();
  const std::string before = snapshot();
  const Netns container;
  const ExitStatus status = run_with(concat(GetParam(), "=error"), container);
  ASSERT_EQ(status.signal, 0);
  if (std::string_view(GetParam()) != "network.bridge") {  // the bridge is there: that step is not passed
    ASSERT_NE(status.code, 0);
  } else {
    end_container_links();
  }
  restart();
  EXPECT_EQ(snapshot(), before);
}

std::string step_name(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  name[name.find('.')] = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(EveryStep, RecoverTest, ::testing::ValuesIn(failpoints), step_name);
INSTANTIATE_TEST_SUITE_P(EveryStep, FailedAttachTest, ::testing::ValuesIn(failpoints_of_attach), step_name);

TEST_F(RecoverTest, RunningContainersKeepTheirPorts) {
  const Netns container, dead;
  const Attachment web = networks().attach(request("web", container, {{"", 8080, 0, 80, "tcp"}}));
  networks().attach(request("dead", dead, {{"", 8081, 0, 80, "tcp"}}));
  const Service http(container, "tcp", 80, "web");
  const Service gone(dead, "tcp", 80, "dead");
  restart();
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080), "web 172.17.0.1");  // without the engine
  networks().recover({make_container_id("web")});
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080), "web 172.17.0.1");
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8081, 200), "");
  const std::vector<EndpointRecord> endpoints = networks().endpoints_of_network(bridge_id());
  ASSERT_EQ(endpoints.size(), 1U);
  EXPECT_EQ(endpoints[0].ip, web.ip);
  EXPECT_EQ(endpoints[0].mac, web.mac);
  EXPECT_EQ(endpoints[0].ports, web.ports);
  EXPECT_EQ(endpoints[0].host_interface, web.host_interface);
  // Its port is taken, its address too; those of the dead one are free.
  const Netns next;
  EXPECT_THROW_ERROR(networks().attach(request("next", next, {{"", 8080, 0, 80, "tcp"}})), ErrorKind::internal,
                     "port is already allocated");
  networks().attach(request("next", next, {{"", 8081, 0, 80, "tcp"}}));
  networks().detach(make_container_id("web"));
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080, 200), "");
}

TEST_F(RecoverTest, ALostBridgeAndLostRulesAreMadeAnew) {
  const Netns container;
  networks().attach(request("web", container, {{"", 8080, 0, 80, "tcp"}}));
  const Service http(container, "tcp", 80, "web");
  nft("flush ruleset");
  NetlinkSocket socket(NETLINK_ROUTE);
  ASSERT_TRUE(delete_link(socket, "mydocker0"));
  restart();
  networks().recover({make_container_id("web")});
  EXPECT_TRUE(ping_from(container, "172.17.0.1"));
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080), "web 172.17.0.1");
}

TEST_F(RecoverTest, WithNothingToDoNothingIsMade) {
  const std::string before = snapshot();
  restart();
  networks().recover({});
  EXPECT_EQ(snapshot(), before);
}

}  // namespace
}  // namespace mydocker::network::test
