// Each named step of the system is made to fail: the request gets an error, and nothing is left behind.

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class FailpointTest : public DaemonTest {
 protected:
  /// A second engine life with this failpoint set; the state of the first one is taken over.
  void restart_with(const std::string& failpoints) {
    engine().kill();
    engine().set_environment({"MYDOCKER_FAILPOINTS=" + failpoints});
    engine().start();
  }
  void restart_clean() {
    engine().kill();
    engine().set_environment({});
    engine().start();
  }
};

TEST_F(FailpointTest, AFullDiskAtCreateIsAnErrorAndLeavesNothing) {
  restart_with("database.commit=nospace");
  const Response response = client().post(
      "/containers/create", json::object{{"Image", "payload"}, {"HostConfig", json::object{{"NetworkMode", "none"}}}});
  EXPECT_EQ(response.status, 500) << response.body;
  EXPECT_NE(response.message().find("No space left on device"), std::string::npos) << response.body;
  EXPECT_FALSE(engine().has_died());
  restart_clean();
  EXPECT_EQ(client().get("/containers/json?all=1").json().as_array().size(), 0U);
}

TEST_F(FailpointTest, AnEngineKilledInsideACommitForgetsOnlyWhatWasNotAcknowledged) {
  const std::string kept = create({.name = "acknowledged"});
  restart_with("database.commit=kill@2");
  Response response;
  try {
    for (int i = 0; i < 3; ++i) {
      response = client().post("/containers/create?name=try" + std::to_string(i), json::object{{"Image", "payload"}});
    }
  } catch (const Error&) {  // the connection ends with the engine
  }
  ASSERT_TRUE(eventually([&] { return engine().has_died(); }));
  restart_clean();
  EXPECT_EQ(client().get("/containers/" + kept + "/json").status, 200);
  const json::value left = client().get("/containers/json?all=1").json();
  for (const json::value& container : left.as_array()) {
    remove(text(at(container, "Id")));
  }
}

}  // namespace
}  // namespace mydocker::test
