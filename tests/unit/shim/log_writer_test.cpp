#include "runtime/shim/log_writer.h"

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <chrono>
#include <csignal>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::shim {
namespace {

using runtime::LogRecord;
using runtime::StreamId;

std::vector<LogRecord> read_records(const std::string& path) {
  std::vector<LogRecord> records;
  std::string text = read_file(path);
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = rest.find('\n');
    const auto record = runtime::parse_log_record(rest.substr(0, end), runtime::LogDetails::keep);
    EXPECT_TRUE(record) << rest.substr(0, end);
    if (record) records.push_back(*record);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return records;
}

std::string join(const std::vector<LogRecord>& records) {
  std::string out;
  for (const LogRecord& record : records) out += record.text;
  return out;
}

TEST(LogWriter, LinesAreRecordsAndPartsOfLinesWait) {
  const test::TempTree tree;
  LogWriter writer({.path = tree.path("log")});
  writer.write(StreamId::out, "one\ntw");
  writer.write(StreamId::err, "error\n");
  writer.write(StreamId::out, "o\nthree");
  std::vector<LogRecord> records = read_records(tree.path("log"));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].text, "one\n");
  EXPECT_EQ(records[1].text, "error\n");
  EXPECT_EQ(records[1].stream, StreamId::err);
  EXPECT_EQ(records[2].text, "two\n");

  writer.finish(StreamId::out);
  records = read_records(tree.path("log"));
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[3].text, "three");
}

TEST(LogWriter, LongLinesAreCutIntoPiecesOf16384Bytes) {
  const test::TempTree tree;
  LogWriter writer({.path = tree.path("log")});
  const std::string line = std::string(40000, 'x') + "\n";
  for (std::size_t at = 0; at < line.size(); at += 7001)
    writer.write(StreamId::out, std::string_view(line).substr(at, 7001));
  const std::vector<LogRecord> records = read_records(tree.path("log"));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].text, std::string(16384, 'x'));
  EXPECT_EQ(records[1].text, std::string(16384, 'x'));
  EXPECT_EQ(records[2].text, std::string(40000 - 2 * 16384, 'x') + "\n");
}

TEST(LogWriter, RotationKeepsTheNewestFilesWithinTheirSize) {
  const test::TempTree tree;
  LogWriter writer({.path = tree.path("log"), .max_size_bytes = 1000, .max_files = 3});
  std::string chunk;
  for (int i = 0; i < 200; ++i) chunk += "line " + std::to_string(i) + "\n";
  writer.write(StreamId::out, chunk);
  EXPECT_TRUE(tree.exists("log.1"));
  EXPECT_TRUE(tree.exists("log.2"));
  EXPECT_FALSE(tree.exists("log.3"));
  for (const char* name : {"log", "log.1", "log.2"}) EXPECT_LE(tree.read(name).size(), 1000U);
  const std::string kept = join(read_records(tree.path("log.2"))) + join(read_records(tree.path("log.1"))) +
                           join(read_records(tree.path("log")));
  EXPECT_TRUE(chunk.ends_with(kept));
  EXPECT_GT(kept.size(), 150U);
}

TEST(LogWriter, WithASingleFileItStartsAfresh) {
  const test::TempTree tree;
  LogWriter writer({.path = tree.path("log"), .max_size_bytes = 500, .max_files = 1});
  for (int i = 0; i < 50; ++i) writer.write(StreamId::out, "line " + std::to_string(i) + "\n");
  EXPECT_LE(tree.read("log").size(), 500U);
  EXPECT_EQ(read_records(tree.path("log")).back().text, "line 49\n");
  EXPECT_FALSE(tree.exists("log.1"));
}

TEST(LogWriter, ATornLineOfAKilledShimIsClosedFirst) {
  const test::TempTree tree{{"log", R"({"log":"half of a li)"}};
  LogWriter writer({.path = tree.path("log")});
  writer.write(StreamId::out, "next\n");
  const std::string text = tree.read("log");
  EXPECT_TRUE(text.starts_with("{\"log\":\"half of a li\n{\"log\":\"next\\n\""));
}

TEST(LogWriter, ADiskThatRefusesLosesWholeRecordsOnly) {
  const test::TempTree tree;
  LogWriter writer({.path = tree.path("log")});
  writer.write(StreamId::out, "before\n");
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit tight = old;
  tight.rlim_cur = tree.read("log").size() + 30;  // half a record fits
  ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  writer.write(StreamId::out, "lost\n");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  writer.write(StreamId::out, "after\n");
  EXPECT_EQ(join(read_records(tree.path("log"))), "before\nafter\n");
}

TEST(LogWriter, NoneWritesNothingAndAnUnknownDriverIsRefused) {
  const test::TempTree tree;
  LogWriter writer({.driver = "none", .path = tree.path("log")});
  writer.write(StreamId::out, "x\n");
  EXPECT_FALSE(tree.exists("log"));
  EXPECT_THROW_ERROR(LogWriter({.driver = "splunk"}), ErrorKind::invalid_argument, "splunk");
}

TEST(LogWriter, AHundredMegabytesASecondAreWritten) {
  const test::TempTree tree;
  LogWriter writer({.path = tree.path("log")});
  std::string chunk;
  while (chunk.size() < 65536) chunk += "a line of log as programs write it, with \"quotes\" and some 80 characters.\n";
  constexpr std::size_t total = std::size_t{200} << 20;
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t done = 0; done < total; done += chunk.size()) writer.write(StreamId::out, chunk);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  RecordProperty("megabytes_per_second", static_cast<int>(200 / took.count()));
  std::printf("log writer: %.0f MB/s\n", 200 / took.count());
}

}  // namespace
}  // namespace mydocker::shim
