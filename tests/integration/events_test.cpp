// The event stream: what happened, in the order that clients rely on.

#include <ctime>

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class EventsTest : public DaemonTest {};

TEST_F(EventsTest, ALifeIsToldInOrder) {
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"type":["container"]})"));
  EXPECT_EQ(events.head().status, 200);
  const std::string id = create({.command = {"/payload", "exit", "4"}, .name = "told"});
  start(id);
  wait(id);
  remove(id);
  std::string actions;
  std::int64_t last = 0;
  while (actions.find("destroy") == std::string::npos) {
    const std::optional<std::string> line = events.read_line();
    ASSERT_TRUE(line) << actions;
    const json::value event = parse_json(*line);
    actions += text(at(event, "Action")) + " ";
    EXPECT_EQ(text(at(event, "Actor.ID")), id);
    EXPECT_EQ(text(at(event, "Actor.Attributes.name")), "told");
    EXPECT_EQ(text(at(event, "status")), text(at(event, "Action")));
    if (text(at(event, "Action")) == "die") EXPECT_EQ(text(at(event, "Actor.Attributes.exitCode")), "4");
    const auto time = at(event, "timeNano").to_number<std::int64_t>();
    EXPECT_GT(time, last);
    EXPECT_EQ(at(event, "time").to_number<std::int64_t>(), time / 1'000'000'000);
    last = time;
  }
  EXPECT_EQ(actions, "create start die destroy ");
}

TEST_F(EventsTest, DieMeansThatInspectSaysExited) {
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["die"]})"));
  const std::string id = run({.command = {"/payload", "exit", "9"}});
  const std::optional<std::string> line = events.read_line();
  ASSERT_TRUE(line);
  const json::value state = at(inspect(id), "State");
  EXPECT_EQ(at(state, "Running"), json::value(false));
  EXPECT_EQ(at(state, "ExitCode").to_number<int>(), 9);
}

TEST_F(EventsTest, StopIsKillDieStop) {
  const std::string id = run();
  wait_ready(id);
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"type":["container"]})"));
  EXPECT_EQ(client().post("/containers/" + id + "/stop?t=20").status, 204);
  std::string actions;
  for (int i = 0; i < 3; ++i) actions += text(at(parse_json(events.read_line().value_or("{}")), "Action")) + " ";
  EXPECT_EQ(actions, "kill die stop ");
}

TEST_F(EventsTest, ThePastIsReplayedAndEnds) {
  const std::string id = create({.name = "past"});
  const Response response = client().get("/events?since=1&until=" + std::to_string(::time(nullptr) + 1));
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.body.find("\"create\""), std::string::npos) << response.body;
  EXPECT_EQ(client().get("/events?since=20&until=10").status, 400);
}

}  // namespace
}  // namespace mydocker::test
