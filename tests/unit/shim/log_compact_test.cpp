#include "runtime/log_compact.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sys.h"
#include "engine/log_reader.h"
#include "runtime/log_gzip.h"
#include "runtime/shim/log_writer.h"
#include "tests/support/temp_tree.h"

namespace mydocker::runtime {
namespace {

TEST(CompactLog, ARecordIsReadBackByteForByte) {
  const Timestamp time = from_unix_nanoseconds(1'700'000'000'123'456'789);
  for (const StreamId stream : {StreamId::out, StreamId::err}) {
    for (const std::string& text : {std::string("line\n"), std::string("piece"), std::string("\n"), std::string(""),
                                    std::string("\xff\0\r\x01 x\n", 7)}) {
      std::string line;
      append_compact_record(line, text, stream, time);
      ASSERT_TRUE(line.ends_with('\n'));
      line.pop_back();
      const std::optional<LogRecord> record = parse_compact_record(line);
      ASSERT_TRUE(record);
      EXPECT_EQ(record->text, text);
      EXPECT_EQ(record->stream, stream);
      EXPECT_EQ(record->time, time);
      EXPECT_EQ(parse_compact_time(line), time);
    }
  }
}

TEST(CompactLog, TimesSortAsText) {
  std::string before;
  for (const std::int64_t ns : {std::int64_t{0}, std::int64_t{1}, std::int64_t{63}, std::int64_t{64},
                                std::int64_t{1'700'000'000'000'000'000}, INT64_MAX}) {
    std::string line;
    append_compact_record(line, "", StreamId::out, from_unix_nanoseconds(ns));
    EXPECT_LT(before, line.substr(1));
    before = line.substr(1);
  }
}

TEST(CompactLog, WhatIsNoRecordIsNone) {
  for (const char* line : {"", "o", "x-----------text", "o----------", "o----------=text", "{\"log\":\"\"}"}) {
    EXPECT_FALSE(parse_compact_record(line)) << line;
  }
}

std::uint64_t open_inode(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

std::string tail(const std::string& path, std::int64_t count) {
  engine::LogReadOptions options;
  options.compact = true;
  options.framed = false;
  options.tail = count;
  engine::LogReader reader(path, options);
  std::string out;
  while (reader.read_some(out) == engine::LogReadState::more) {
  }
  return out;
}

TEST(CompactLog, TheIndexFindsTheSameTailAsCounting) {
  const test::TempTree tree;
  const std::string path = tree.path("log");
  std::string whole;
  std::vector<std::size_t> begins;
  for (int run = 0; run < 2; ++run) {  // the second writer goes on with the first one's index
    shim::LogWriter writer({.driver = "local", .path = path, .max_size_bytes = 600'000, .max_files = 10});
    for (int i = 0; i < 20'000; ++i) {
      const std::string line = concat(run, " line ", i, std::string(static_cast<std::size_t>(i % 37), '.'), "\n");
      begins.push_back(whole.size());
      writer.write(StreamId::out, line);
      whole += line;
    }
  }
  ASSERT_TRUE(tree.exists("log.2"));
  EXPECT_GT(LogIndexReader(path + ".1", open_inode(path + ".1")).size(), 1U);
  for (const std::size_t count : {1U, 2U, 100U, 5'000U, 12'345U, 39'999U, 40'000U}) {
    EXPECT_TRUE(tail(path, static_cast<std::int64_t>(count)) == whole.substr(begins[begins.size() - count])) << count;
  }
  EXPECT_TRUE(tail(path, 50'000) == whole);
  for (const char* index : {"log.index", "log.1.index", "log.2.index"}) ::unlink(tree.path(index).c_str());
  EXPECT_TRUE(tail(path, 30'000) == whole.substr(begins[begins.size() - 30'000]));  // it is a hint, no more
}

TEST(CompressedLog, GivesTheSameBytesAndKnowsItsOrigin) {
  const test::TempTree tree;
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += concat("line ", i, "\n");
  tree.write("log.1", text);
  const UniqueFd source = open_file(tree.path("log.1"), O_RDONLY);
  const UniqueFd target = open_file(tree.path("log.1.gz"), O_RDWR | O_CREAT, 0600);
  gzip_log(source.get(), target.get());
  struct stat plain{};
  struct stat compressed{};
  ASSERT_EQ(::fstat(source.get(), &plain), 0);
  ASSERT_EQ(::fstat(target.get(), &compressed), 0);
  EXPECT_LT(compressed.st_size, plain.st_size / 3);
  EXPECT_EQ(read_gzip_origin(target.get()), plain.st_ino);
  EXPECT_FALSE(read_gzip_origin(source.get()));
  const UniqueFd back = gunzip_log(target.get(), tree.path(""));
  EXPECT_TRUE(read_file(concat("/proc/self/fd/", back.get())) == text);
}

}  // namespace
}  // namespace mydocker::runtime
