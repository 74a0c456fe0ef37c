#include "engine/base/trace.h"

#include <gtest/gtest.h>

namespace mydocker {
namespace {

using namespace std::chrono_literals;

TEST(Trace, PhasesAddUpToTheTotal) {
  Trace trace("start");
  trace.mark("plan");
  trace.mark("spawn");
  ASSERT_EQ(trace.phases().size(), 2U);
  EXPECT_EQ(trace.phases()[0].duration + trace.phases()[1].duration, trace.total());
}

TEST(Trace, APhaseMeasuredElsewhereDoesNotMoveTheClock) {
  Trace trace("start");
  trace.add("shim.mounts", 5s);
  trace.mark("shim");
  EXPECT_LT(trace.total(), 5s);
  EXPECT_EQ(trace.phases()[0].duration, 5s);
}

TEST(Trace, TheHeaderIsServerTiming) {
  Trace trace("start");
  trace.add("plan", 120us);
  trace.add("spawn", 1500us);
  EXPECT_EQ(trace.to_server_timing(), "plan;dur=0.120, spawn;dur=1.500");
}

TEST(TraceBook, KeepsTheLastTracesAndTheSumsOfAll) {
  TraceBook book;
  for (int i = 0; i < 200; ++i) {
    Trace trace("start");
    trace.add("plan", 1ms);
    book.record(trace);
  }
  EXPECT_EQ(book.recent().size(), 128U);
  EXPECT_EQ((book.sums().at({"start", "plan"}).count), 200U);
  EXPECT_EQ((book.sums().at({"start", "plan"}).total), 200ms);
  EXPECT_EQ((book.sums().at({"start", ""}).count), 200U);
}

}  // namespace
}  // namespace mydocker
