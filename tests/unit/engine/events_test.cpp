#include "engine/events.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "engine/base/error.h"
#include "engine/base/time.h"
#include "engine/event_gaps.h"
#include "tests/support/temp_tree.h"

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
  for (std::size_t i = 0; i < EventBus::kept + 44; ++i) bus.publish("container", std::to_string(i), "id", {});
  const std::vector<std::string> seen = drain(std::move(stream));
  ASSERT_EQ(seen.size(), EventBus::kept);
  EXPECT_EQ(seen.back(), std::to_string(EventBus::kept + 43));
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
  EXPECT_TRUE(matches({{"container", {"we"}}}, event));
  EXPECT_FALSE(matches({{"container", {"eb"}}}, event));
  EXPECT_FALSE(matches({{"network", {"web"}}}, event));
  EXPECT_TRUE(matches({{"image", {"busybox"}}}, event));
  EXPECT_FALSE(matches({{"image", {"busy"}}}, event));
  EXPECT_TRUE(matches({{"label", {"k=v"}}}, event));
  EXPECT_FALSE(matches({{"label", {"k=v", "z"}}}, event));
  EXPECT_FALSE(matches({{"type", {"image"}}}, event));
  EXPECT_TRUE(matches({{"type", {"image", "container"}}, {"event", {}}}, event));
}

TEST(EventFilters, ImagesMatchWithAndWithoutTheirTag) {
  api::Event event;
  event.type = "image";
  event.action = "pull";
  event.actor = {"registry:5000/a/b:1", {{"name", "registry:5000/a/b"}}};
  EXPECT_TRUE(matches({{"image", {"registry:5000/a/b:1"}}}, event));
  EXPECT_TRUE(matches({{"image", {"registry:5000/a/b"}}}, event));
  EXPECT_FALSE(matches({{"image", {"registry"}}}, event));
}

// --- the durable ring ------------------------------------------------------------------------------------------------

class EventRing : public Events {
 protected:
  std::string path() { return dir.path() + "/events.log"; }
  std::vector<std::string> replay(EventBus& from, const std::string& since) {
    std::vector<std::string> actions;
    auto stream = from.subscribe({.since = since, .until = "", .filters = {}});
    from.close();
    asio::co_spawn(io, read_all(*stream, actions), [](const std::exception_ptr& e) {
      if (e) std::rethrow_exception(e);
    });
    io.restart();
    io.run();
    return actions;
  }
  static std::string stamp(const api::Event& event) {
    char text[40];
    std::snprintf(text, sizeof text, "%lld.%09lld", static_cast<long long>(event.time_ns / 1'000'000'000),
                  static_cast<long long>(event.time_ns % 1'000'000'000));
    return text;
  }

  test::TempTree dir;
};

TEST_F(EventRing, TheNextEngineGoesOnWhereTheLastOneWasKilled) {
  bus.keep_in(EventJournal(path()));
  for (const char* action : {"create", "start", "die"}) bus.publish("container", action, "id", {{"k", "v"}});
  EventBus next(io.get_executor());
  next.keep_in(EventJournal(path()));
  ASSERT_EQ(next.recent().size(), 3U);
  EXPECT_EQ(next.recent()[1].actor.attributes.at("k"), "v");
  next.publish("container", "destroy", "id", {});
  EXPECT_GT(next.recent()[3].time_ns, next.recent()[2].time_ns);
  EXPECT_EQ(replay(next, stamp(next.recent()[1])), (std::vector<std::string>{"die", "destroy"}));
}

TEST_F(EventRing, ATimeThatGoesBackIsNoReasonToRepeatATimeNano) {
  bus.keep_in(EventJournal(path()));
  bus.publish("container", "create", "id", {});
  api::Event future = bus.recent().front();
  future.time_ns += 3600LL * 1'000'000'000;
  EventJournal(path()).append(future);
  EventBus next(io.get_executor());
  next.keep_in(EventJournal(path()));
  next.publish("container", "start", "id", {});
  EXPECT_EQ(next.recent().back().time_ns, future.time_ns + 1);
}

TEST_F(EventRing, TheFilesAreBounded) {
  EventJournal journal(path(), 4096);
  api::Event event;
  event.type = "container";
  event.actor.id = std::string(64, 'a');
  for (int i = 1; i <= 1000; ++i) {
    event.time_ns = i;
    journal.append(event);
  }
  EXPECT_LE(std::filesystem::file_size(path()), 4096U);
  EXPECT_LE(std::filesystem::file_size(path() + ".1"), 4096U);
  const std::vector<api::Event> kept = journal.load(1000);
  EXPECT_EQ(kept.back().time_ns, 1000);
  EXPECT_EQ(kept.front().time_ns, 1001 - static_cast<std::int64_t>(kept.size()));
}

TEST_F(EventRing, ALineCutByAPowerFailureCostsItselfAlone) {
  {
    EventJournal journal(path());
    api::Event event;
    event.type = "container";
    event.time_ns = 1;
    journal.append(event);
  }
  std::ofstream(path(), std::ios::app) << R"({"Type":"contai)";
  EventJournal journal(path());
  api::Event event;
  event.type = "image";
  event.time_ns = 2;
  journal.append(event);
  const std::vector<api::Event> kept = journal.load(10);
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[1].type, "image");
}

// --- gaps ------------------------------------------------------------------------------------------------------------

using Actions = std::vector<std::string>;

TEST(EventGaps, WhatTheRecordKnowsAndTheRingLacksIsMissing) {
  ContainerRecord record;
  record.created = 100;
  EXPECT_EQ(missing_actions(record, false, {}, 50), Actions{"create"});
  EXPECT_EQ(missing_actions(record, false, {}, 150), Actions{}) << "before the ring begins";
  record.started_at = 110;
  const ToldLife created{.created = true};
  EXPECT_EQ(missing_actions(record, true, created, 50), Actions{"start"});
  const ToldLife started{.created = true, .start_ns = 111};
  EXPECT_EQ(missing_actions(record, true, started, 50), Actions{});
  record.finished_at = 120;
  EXPECT_EQ(missing_actions(record, false, started, 50), Actions{"die"});
  EXPECT_EQ(missing_actions(record, false, {.created = true, .start_ns = 111, .die_ns = 121}, 50), Actions{});
}

TEST(EventGaps, ASecondRunNeedsItsOwnEvents) {
  ContainerRecord record;
  record.created = 100;
  record.started_at = 200;
  record.finished_at = 120;
  const ToldLife first_run{.created = true, .start_ns = 111, .die_ns = 121};
  EXPECT_EQ(missing_actions(record, true, first_run, 50), Actions{"start"});
}

}  // namespace
}  // namespace mydocker::engine
