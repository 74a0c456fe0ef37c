#include "runtime/log_format.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/base/json.h"

namespace mydocker::runtime {
namespace {

const Timestamp moment = *parse_rfc3339("2026-01-02T03:04:05.000000789Z");

std::string make_record(std::string_view text, StreamId stream = StreamId::out, std::string_view attributes = "") {
  std::string out;
  append_log_record(out, text, stream, attributes, moment);
  return out;
}

TEST(LogFormat, ARecordHasTheFormThatLogShippersKnow) {
  EXPECT_EQ(make_record("line one\n"),
            R"({"log":"line one\n","stream":"stdout","time":"2026-01-02T03:04:05.000000789Z"})"
            "\n");
  EXPECT_EQ(make_record("e", StreamId::err, make_log_attributes({{"b", "2"}, {"a", "1 \"x\""}})),
            R"({"log":"e","stream":"stderr","attrs":{"a":"1 \"x\"","b":"2"},"time":"2026-01-02T03:04:05.000000789Z"})"
            "\n");
}

TEST(LogFormat, EveryByteSurvivesOrBecomesTheReplacementCharacter) {
  std::string text;
  for (int i = 0; i < 0x80; ++i) text.push_back(static_cast<char>(i));
  text += "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80";
  std::string line = make_record(text);
  line.pop_back();
  EXPECT_EQ(parse_json(line).at("log").as_string(), text);
  EXPECT_EQ(parse_log_record(line, LogDetails::skip)->text, text);

  std::string damaged = make_record(
      "a\xFF"
      "b");
  damaged.pop_back();
  EXPECT_EQ(parse_log_record(damaged, LogDetails::skip)->text,
            "a\xEF\xBF\xBD"
            "b");
}

TEST(LogFormat, EscapesOfOtherWritersAreRead) {
  const auto record = parse_log_record(
      R"({"log":"\u003ca\/\b\f\ud83d\ude00\u00e4\ud800x","stream":"stderr","time":"2026-01-02T03:04:05.5+01:00"})",
      LogDetails::skip);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->text, "<a/\b\f\xF0\x9F\x98\x80\xC3\xA4\xEF\xBF\xBDx");
  EXPECT_EQ(record->stream, StreamId::err);
  EXPECT_EQ(to_rfc3339(record->time), "2026-01-02T02:04:05.5Z");
}

TEST(LogFormat, DetailsAreSortedAndQueryEscaped) {
  std::string line = make_record("x\n", StreamId::out, make_log_attributes({{"b b", "2&"}, {"a", "1,}\"time\":\""}}));
  line.pop_back();
  const auto record = parse_log_record(line, LogDetails::keep);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->details, "a=1%2C%7D%22time%22%3A%22,b+b=2%26");
  EXPECT_EQ(parse_log_time(line), moment);
}

TEST(LogFormat, TornAndDamagedLinesAreNoRecords) {
  const std::string whole = make_record("some \"text\"\n", StreamId::err, make_log_attributes({{"a", "b"}}));
  for (std::size_t length = 0; length + 1 < whole.size(); ++length) {
    EXPECT_FALSE(parse_log_record(std::string_view(whole).substr(0, length), LogDetails::keep)) << length;
  }
  // Whatever a single damaged byte makes of it, it is refused or read; never worse.
  for (std::size_t at = 0; at + 1 < whole.size(); ++at) {
    for (const char byte : {'"', '\\', '{', '\0', '\xFF'}) {
      std::string damaged = whole.substr(0, whole.size() - 1);
      damaged[at] = byte;
      parse_log_record(damaged, LogDetails::keep);
      parse_log_time(damaged);
    }
  }
}

TEST(LogFormat, APieceDoesNotEndInsideACharacter) {
  EXPECT_EQ(find_piece_end("abcdef", 4), 4U);
  EXPECT_EQ(find_piece_end("abc", 4), 3U);
  EXPECT_EQ(find_piece_end("abc\xC3\xA4x", 4), 3U);
  EXPECT_EQ(find_piece_end("a\xF0\x9F\x98\x80x", 4), 1U);
  EXPECT_EQ(find_piece_end("\x80\x80\x80\x80\x80\x80\x80\x80", 5), 5U);
}

TEST(LogFormat, FrameHeadersAreBigEndian) {
  const FrameHeader header = make_frame_header(StreamId::err, 0x010203);
  const unsigned char expected[8] = {2, 0, 0, 0, 0, 1, 2, 3};
  EXPECT_EQ(std::memcmp(header.bytes, expected, 8), 0);
}

}  // namespace
}  // namespace mydocker::runtime
