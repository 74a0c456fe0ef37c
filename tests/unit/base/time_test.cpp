#include "engine/base/time.h"

#include <gtest/gtest.h>

#include "tests/support/requirements.h"

namespace mydocker {
namespace {

using namespace std::chrono_literals;

TEST(Rfc3339, TrailingZerosOfTheFractionAreCut) {
  EXPECT_EQ(to_rfc3339(from_unix_nanoseconds(1'700'000'000'120'000'000)), "2023-11-14T22:13:20.12Z");
  EXPECT_EQ(to_rfc3339(from_unix_nanoseconds(1'700'000'000'000'000'000)), "2023-11-14T22:13:20Z");
  EXPECT_EQ(to_rfc3339(from_unix_nanoseconds(1'700'000'000'000'000'001)), "2023-11-14T22:13:20.000000001Z");
}

TEST(Rfc3339, TheFixedFormHasNineDigits) {
  EXPECT_EQ(to_rfc3339_fixed(from_unix_nanoseconds(1'700'000'000'120'000'000)), "2023-11-14T22:13:20.120000000Z");
}

TEST(Rfc3339, NeverIsGosZeroTime) {
  EXPECT_EQ(to_rfc3339(Timestamp{}), "0001-01-01T00:00:00Z");
  EXPECT_EQ(parse_rfc3339("0001-01-01T00:00:00Z"), Timestamp{});
}

TEST(Rfc3339, ZonesAndFractionsAreRead) {
  EXPECT_EQ(parse_rfc3339("2023-11-14T23:13:20.12+01:00"), from_unix_nanoseconds(1'700'000'000'120'000'000));
  EXPECT_EQ(parse_rfc3339("2023-11-14T22:13:20Z"), from_unix_nanoseconds(1'700'000'000'000'000'000));
}

TEST(Rfc3339, WhatIsWrittenReadsBack) {
  const Timestamp time = now();
  EXPECT_EQ(parse_rfc3339(to_rfc3339(time)), time);
  EXPECT_EQ(parse_rfc3339(to_rfc3339_fixed(time)), time);
}

TEST(Rfc3339, NonsenseIsRefused) {
  for (const char* text :
       {"", "2023", "2023-13-01T00:00:00Z", "2023-11-14T22:13:20", "2023-11-14T22:13:20Zx", "2023-11-14T22:13:20.Z",
        "2023-11-14 22:13", "9999-01-01T00:00:00Z", "x023-11-14T22:13:20Z"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(UnixTimestamp, SecondsWithFraction) {
  EXPECT_EQ(to_unix_nanoseconds(parse_unix_timestamp("1700000000.5")), 1'700'000'000'500'000'000);
  EXPECT_EQ(to_unix_nanoseconds(parse_unix_timestamp("1700000000.000000001")), 1'700'000'000'000'000'001);
  EXPECT_EQ(parse_unix_timestamp(""), Timestamp{});
  EXPECT_EQ(parse_unix_timestamp("0"), Timestamp{});
}

TEST(UnixTimestamp, NonsenseIsAnInvalidArgument) {
  for (const char* text : {"x", "1.", "1.x", "1.5x", "--1", "99999999999999999999"}) {
    SCOPED_TRACE(text);
    EXPECT_THROW_ERROR(parse_unix_timestamp(text), ErrorKind::invalid_argument, "invalid timestamp");
  }
}

TEST(GoDuration, UnitsAddUp) {
  EXPECT_EQ(parse_go_duration("1h15m30.5s"), 1h + 15min + 30500ms);
  EXPECT_EQ(parse_go_duration("300ms"), 300ms);
  EXPECT_EQ(parse_go_duration("-1.5h"), -90min);
  EXPECT_EQ(parse_go_duration("2us"), 2us);
  EXPECT_EQ(parse_go_duration("0"), 0ns);
}

TEST(GoDuration, NonsenseIsRefused) {
  for (const char* text : {"", "5", "s", "1x", "1h ", "-", ".", "1..5s"}) EXPECT_FALSE(parse_go_duration(text)) << text;
}

TEST(GoDuration, IsWrittenAsGoDoes) {
  EXPECT_EQ(to_go_duration(0s), "0s");
  EXPECT_EQ(to_go_duration(30s), "30s");
  EXPECT_EQ(to_go_duration(60s), "1m0s");
  EXPECT_EQ(to_go_duration(1h + 15min + 30500ms), "1h15m30.5s");
  EXPECT_EQ(to_go_duration(1h), "1h0m0s");
  EXPECT_EQ(to_go_duration(1500us), "1.5ms");
  EXPECT_EQ(to_go_duration(1001ms), "1.001s");
  EXPECT_EQ(to_go_duration(-2s), "-2s");
  EXPECT_EQ(to_go_duration(7ns), "7ns");
}

TEST(HumanDuration, TheBoundariesAreDockers) {
  const std::pair<std::chrono::nanoseconds, const char*> rows[] = {{0s, "Less than a second"},
                                                                   {999ms, "Less than a second"},
                                                                   {1s, "1 second"},
                                                                   {59s, "59 seconds"},
                                                                   {60s, "About a minute"},
                                                                   {119s, "About a minute"},
                                                                   {120s, "2 minutes"},
                                                                   {59min, "59 minutes"},
                                                                   {60min, "About an hour"},
                                                                   {89min, "About an hour"},
                                                                   {90min, "2 hours"},
                                                                   {47h, "47 hours"},
                                                                   {48h, "2 days"},
                                                                   {13 * 24h, "13 days"},
                                                                   {14 * 24h, "2 weeks"},
                                                                   {59 * 24h, "8 weeks"},
                                                                   {60 * 24h, "2 months"},
                                                                   {729 * 24h, "24 months"},
                                                                   {730 * 24h, "2 years"}};
  for (const auto& [duration, text] : rows) EXPECT_EQ(human_duration(duration), text);
}

}  // namespace
}  // namespace mydocker
