#include "engine/log_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "engine/base/sys.h"
#include "runtime/log_format.h"
#include "runtime/log_gzip.h"
#include "runtime/shim/log_writer.h"
#include "tests/support/temp_tree.h"

namespace mydocker::engine {
namespace {

using runtime::StreamId;
using shim::LogWriter;
using test::TempTree;

std::string drain(LogReader& reader) {
  std::string out;
  while (reader.read_some(out) == LogReadState::more) {
  }
  return out;
}

std::string read_log(const std::string& path, LogReadOptions options) {
  LogReader reader(path, options);
  return drain(reader);
}

LogReadOptions raw(LogReadOptions options = {}) {
  options.framed = false;
  return options;
}

Timestamp at_second(int second) { return from_unix_nanoseconds(1'700'000'000'000'000'000 + second * 1'000'000'000LL); }

/// `count` lines "line <i>", one a second, alternating between the streams.
std::string make_log(int first, int count, std::string_view attributes = "") {
  std::string out;
  for (int i = first; i < first + count; ++i) {
    runtime::append_log_record(out, "line " + std::to_string(i) + "\n", i % 2 == 0 ? StreamId::out : StreamId::err,
                               attributes, at_second(i));
  }
  return out;
}

std::string lines(int first, int count) {
  std::string out;
  for (int i = first; i < first + count; ++i) out += "line " + std::to_string(i) + "\n";
  return out;
}

TEST(LogReader, WhatTheWriterWroteIsReadBackAcrossRotation) {
  const TempTree tree;
  LogWriter writer({.path = tree.path("log"), .max_size_bytes = 5000, .max_files = 1000});
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string line = "line " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 50), '.') + "\n";
    writer.write(StreamId::out, line);
    expected += line;
  }
  EXPECT_EQ(read_log(tree.path("log"), raw()), expected);
}

TEST(LogReader, AReadingToAnEndTakesNeitherMoreNorLessHoweverTheLogRotates) {
  for (const std::int64_t files : {1, 3}) {
    const TempTree tree;
    const std::string path = tree.path("log");
    LogWriter writer({.path = path, .max_size_bytes = 2000, .max_files = files});
    int written = 0;
    const auto write = [&](int count) {
      for (int i = 0; i < count; ++i) writer.write(StreamId::out, "line " + std::to_string(written++) + "\n");
    };
    write(10);
    LogReader reader(path, raw(), find_log_end(path));
    write(500);  // its file has long been removed
    EXPECT_EQ(drain(reader), lines(0, 10)) << files;
    LogEnd end = find_log_end(path);
    const int there = written;
    write(files == 1 ? 300 : 20);  // a rotation or more before the reading begins
    LogReader late(path, raw(), std::move(end));
    const std::string text = drain(late);
    EXPECT_TRUE(lines(0, there).ends_with(text) && !text.empty()) << files << text;
  }
}

TEST(LogReader, AReadingGoesOnInTheSameFile) {
  const TempTree tree;
  const std::string path = tree.path("log");
  LogReader nothing(path, raw(), find_log_end(path));
  EXPECT_EQ(drain(nothing), "");
  tree.write("log", make_log(0, 5));
  nothing.read_on(find_log_end(path));
  EXPECT_EQ(drain(nothing), lines(0, 5));
  tree.write("log", make_log(0, 9));
  nothing.read_on(find_log_end(path));
  EXPECT_EQ(drain(nothing), lines(5, 4));
}

TEST(LogReader, ANumberThatCompressionHasSetFreeMayBeAnotherFilesByNow) {
  const TempTree tree;
  const std::string path = tree.path("log");
  tree.write("log", make_log(0, 5));
  runtime::gzip_log(open_file(path, O_RDONLY).get(),
                    open_file(runtime::make_compressed_log_path(path, 2), O_RDWR | O_CREAT, 0600).get());
  tree.write("log.1", make_log(5, 5));
  tree.write("log", make_log(10, 5));  // the newest one has the number that the oldest one was made from
  EXPECT_EQ(read_log(path, raw()), lines(0, 15));
  EXPECT_EQ(read_log(path, raw({.tail = 12})), lines(3, 12));
  LogReader to_end(path, raw(), find_log_end(path));
  EXPECT_EQ(drain(to_end), lines(0, 15));
}

TEST(LogReader, TailCountsRecordsOfBothStreamsAcrossFiles) {
  const TempTree tree;
  tree.write("log.2", make_log(0, 10));
  tree.write("log.1", make_log(10, 10));
  tree.write("log", make_log(20, 5));
  for (const int tail : {0, 1, 4, 5, 6, 14, 15, 16, 24, 25, 26, 1000}) {
    const int shown = std::min(tail, 25);
    EXPECT_EQ(read_log(tree.path("log"), raw({.tail = tail})), lines(25 - shown, shown)) << tail;
  }
  EXPECT_EQ(read_log(tree.path("log"), raw({.want_stderr = false, .tail = 2})), "line 24\n");
}

TEST(LogReader, SinceIsInclusiveAndUntilEndsTheReading) {
  const TempTree tree;
  tree.write("log.1", make_log(0, 5000));
  tree.write("log", make_log(5000, 5000));
  for (const int second : {0, 1, 2500, 4999, 5000, 5001, 9999}) {
    EXPECT_EQ(read_log(tree.path("log"), raw({.since = at_second(second)})), lines(second, 10000 - second)) << second;
    EXPECT_EQ(read_log(tree.path("log"), raw({.until = at_second(second)})), lines(0, second + 1)) << second;
  }
  EXPECT_EQ(read_log(tree.path("log"), raw({.since = at_second(10000)})), "");
  EXPECT_EQ(read_log(tree.path("log"), raw({.since = at_second(6000), .until = at_second(6001)})), lines(6000, 2));
  EXPECT_EQ(read_log(tree.path("log"), raw({.tail = 10, .since = at_second(9995)})), lines(9995, 5));
}

TEST(LogReader, PrefixesAndFramesAreDockers) {
  const TempTree tree;
  tree.write("log", make_log(1, 1, runtime::make_log_attributes({{"k", "v"}})));
  EXPECT_EQ(read_log(tree.path("log"), raw({.timestamps = true, .details = true})),
            "2023-11-14T22:13:21.000000000Z k=v line 1\n");
  EXPECT_EQ(read_log(tree.path("log"), {}), std::string("\2\0\0\0\0\0\0\7line 1\n", 15));
  tree.write("log", make_log(1, 1));
  EXPECT_EQ(read_log(tree.path("log"), raw({.details = true})), " line 1\n");
}

TEST(LogReader, TornLinesAreSkipped) {
  const TempTree tree;
  tree.write("log.1", make_log(0, 2) + R"({"log":"to)");
  tree.write("log", "{\"log\":\"rn\n" + make_log(2, 2) + R"({"log":"half)");
  EXPECT_EQ(read_log(tree.path("log"), raw()), lines(0, 4));
  EXPECT_EQ(read_log(tree.path("log"), raw({.since = at_second(2)})), lines(2, 2));
}

TEST(LogReader, AMissingLogIsEmpty) {
  const TempTree tree;
  EXPECT_EQ(read_log(tree.path("log"), raw()), "");
  LogReader reader(tree.path("log"), raw({.follow = true}));
  std::string out;
  EXPECT_EQ(reader.read_some(out), LogReadState::waiting);
  tree.write("log", make_log(0, 1));
  drain(reader);
}

TEST(LogReader, FollowingGoesOnThroughRotationsAndLosesNothing) {
  const TempTree tree;
  LogWriter writer({.path = tree.path("log"), .max_size_bytes = 2000, .max_files = 50});
  writer.write(StreamId::out, "old\n");
  LogReader reader(tree.path("log"), raw({.follow = true, .tail = 0}));
  std::string expected;
  std::string got;
  for (int i = 0; i < 2000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    writer.write(StreamId::out, line);
    expected += line;
    if (i % 97 == 0) got += drain(reader);
  }
  got += drain(reader);
  EXPECT_EQ(got, expected);
  reader.stop_following();
  writer.write(StreamId::out, "last\n");
  std::string rest;
  EXPECT_EQ(reader.read_some(rest), LogReadState::finished);
  EXPECT_EQ(rest, "last\n");
}

TEST(LogReader, FollowingASingleFileThatStartsAfreshGoesOn) {
  const TempTree tree;
  LogWriter writer({.path = tree.path("log"), .max_size_bytes = 1000, .max_files = 1});
  LogReader reader(tree.path("log"), raw({.follow = true}));
  std::string expected;
  std::string got;
  for (int i = 0; i < 100; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    writer.write(StreamId::out, line);
    expected += line;
    got += drain(reader);
  }
  EXPECT_EQ(got, expected);
}

TEST(LogReader, FollowingWhileAnotherThreadWritesLosesNothing) {
  const TempTree tree;
  LogWriter writer({.path = tree.path("log"), .max_size_bytes = 100'000, .max_files = 1000});
  LogReader reader(tree.path("log"), raw({.follow = true}));
  LogWatcher watcher;
  bool changed = true;
  const auto subscription = watcher.subscribe(tree.path("log"), [&] { changed = true; });
  std::thread thread([&] {
    for (int i = 0; i < 20000; ++i) writer.write(StreamId::out, "line " + std::to_string(i) + "\n");
  });
  const std::string expected = lines(0, 20000);
  std::string got;
  while (got.size() < expected.size()) {
    if (changed) {
      changed = false;
      got += drain(reader);
      continue;
    }
    pollfd item{watcher.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&item, 1, 10'000), 1) << "no word of a change, after " << got.size() << " bytes";
    watcher.dispatch();
  }
  thread.join();
  EXPECT_TRUE(got == expected);
}

TEST(LogReader, UntilEndsAFollowWhoseTimeHasPassed) {
  const TempTree tree;
  tree.write("log", make_log(0, 1));
  LogReader reader(tree.path("log"), raw({.follow = true, .until = now() - std::chrono::seconds(1)}));
  std::string out;
  EXPECT_EQ(reader.read_some(out), LogReadState::finished);
  EXPECT_EQ(out, lines(0, 1));
}

TEST(LogReader, ALargeFileAnswersAtOnce) {
  const TempTree tree;
  {
    std::FILE* file = std::fopen(tree.path("log").c_str(), "w");
    ASSERT_NE(file, nullptr);
    for (int i = 0; i < 20000; ++i) {
      std::string record;
      runtime::append_log_record(record, std::string(16000, 'x') + "\n", StreamId::out, "", at_second(i));
      std::fwrite(record.data(), 1, record.size(), file);
    }
    std::fclose(file);
  }
  // The best of a few: what else the machine does is not the reader's cost.
  auto best = std::chrono::milliseconds::max();
  for (int attempt = 0; attempt < 5; ++attempt) {
    const auto begin = std::chrono::steady_clock::now();
    LogReader since(tree.path("log"), raw({.since = at_second(19999)}));
    std::string out = drain(since);
    EXPECT_EQ(out.size(), 16001U);
    LogReader tail(tree.path("log"), raw({.tail = 3}));
    out = drain(tail);
    EXPECT_EQ(out.size(), 3 * 16001U);
    best =
        std::min(best, std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin));
  }
  EXPECT_LT(best.count(), 50);
}

TEST(LogWatcher, OnlyTheChangedLogIsNamed) {
  const TempTree tree{{"a/log", ""}, {"b/log", ""}, {"a/other", ""}};
  LogWatcher watcher;
  int a = 0;
  int b = 0;
  auto first = watcher.subscribe(tree.path("a/log"), [&] { ++a; });
  {
    const auto second = watcher.subscribe(tree.path("b/log"), [&] { ++b; });
    tree.write("a/other", "x");
    watcher.dispatch();
    EXPECT_EQ(a + b, 0);
    tree.write("b/log", "x");
    watcher.dispatch();
    EXPECT_EQ(a, 0);
    EXPECT_EQ(b, 1);
  }
  tree.write("b/log", "y");
  watcher.dispatch();
  EXPECT_EQ(b, 1);
  ::rename(tree.path("a/log").c_str(), tree.path("a/log.1").c_str());
  tree.write("a/log", "new");
  watcher.dispatch();
  EXPECT_EQ(a, 1);
}

}  // namespace
}  // namespace mydocker::engine
