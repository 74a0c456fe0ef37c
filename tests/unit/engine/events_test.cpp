#include "engine/events.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "engine/base/error.h"
#include "engine/base/time.h"

namespace mydocker::engine {
namespace {

class Events : public testing::Test {
 protected:
  /// Everything the stream has now; the bus is closed for it.
  std::vector<std::string> drain(std::unique_ptr<EventStream> stream) {
    std::vector<std::string> actions;
    bus.close();
    asio::co_spawn(io, read_all(*stream, actions), [](const std::exception_ptr& e) {
      if (e) std::rethrow_exception(e);
    });
    io.restart();
    io.run();
    return actions;
  }

  static awaitable<void> read_all(EventStream& stream, std::vector<std::string>& actions) {
    while (const std::optional<api::Event> event = co_await stream.next()) actions.push_back(event->action);
  }

  asio::io_context io;
  EventBus bus{io.get_executor()};
};

TEST_F(Events, ASubscriberSeesWhatComesAfterIt) {
  bus.publish("container", "create", "id", {});
  auto stream = bus.subscribe({});
  bus.publish("container", "start", "id", {});
  EXPECT_EQ(drain(std::move(stream)), std::vector<std::string>{"start"});
}

TEST_F(Events, SinceBringsThePastBack) {
  bus.publish("container", "create", "id", {});
  bus.publish("container", "start", "id", {});
  auto stream = bus.subscribe({.since = "1", .until = "", .filters = {}});
  EXPECT_EQ(drain(std::move(stream)), (std::vector<std::string>{"create", "start"}));
}

TEST_F(Events, UntilInThePastEndsTheStream) {
  bus.publish("container", "create", "id", {});
  auto stream = bus.subscribe({.since = "1", .until = "2", .filters = {}});
  EXPECT_EQ(drain(std::move(stream)), std::vector<std::string>{});
}

TEST_F(Events, ASlowReaderLosesTheOldest) {
  auto stream = bus.subscribe({});
  for (int i = 0; i < 300; ++i) bus.publish("container", std::to_string(i), "id", {});
  const std::vector<std::string> seen = drain(std::move(stream));
  ASSERT_EQ(seen.size(), 256U);
  EXPECT_EQ(seen.back(), "299");
}

TEST_F(Events, SinceAfterUntilIsRefused) {
  EXPECT_THROW(bus.subscribe({.since = "20", .until = "10", .filters = {}}), Error);
  EXPECT_THROW(bus.subscribe({.since = "", .until = "", .filters = {{"bogus", {"x"}}}}), Error);
}

TEST(EventFilters, MatchAsDockerDoes) {
  api::Event event;
  event.type = "container";
  event.action = "health_status: healthy";
  event.actor = {"0123456789abcdef", {{"name", "web"}, {"k", "v"}, {"image", "busybox"}}};
  EXPECT_TRUE(matches({{"event", {"health_status"}}}, event));
  EXPECT_FALSE(matches({{"event", {"health"}}}, event));
  EXPECT_TRUE(matches({{"container", {"web"}}}, event));
  EXPECT_TRUE(matches({{"container", {"0123"}}}, event));
  EXPECT_FALSE(matches({{"container", {"we"}}}, event));
  EXPECT_TRUE(matches({{"label", {"k=v"}}}, event));
  EXPECT_FALSE(matches({{"label", {"k=v", "z"}}}, event));
  EXPECT_FALSE(matches({{"type", {"image"}}}, event));
  EXPECT_TRUE(matches({{"type", {"image", "container"}}, {"event", {}}}, event));
}

}  // namespace
}  // namespace mydocker::engine
