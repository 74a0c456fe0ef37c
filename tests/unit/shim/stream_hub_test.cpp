#include "runtime/shim/stream_hub.h"
#include "runtime/shim/log_writer.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "engine/base/sys.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::shim {
namespace {

using runtime::StreamChoice;
using runtime::StreamId;
using std::chrono::milliseconds;

struct Events : StreamHub::Listener {
  std::vector<std::string> detached;
  std::vector<std::string> closed;
  int drained = 0;
  int gone = 0;
  void on_detached(const std::string& id) override { detached.push_back(id); }
  void on_client_closed(const std::string& id) override { closed.push_back(id); }
  void on_drained() override { ++drained; }
  void on_clients_gone() override { ++gone; }
};

/// A hub on three pipes, with the ends that the process would have.
struct HubTest : testing::Test {
  test::TempTree tree;
  EventLoop loop;
  Events events;
  LogWriter log{{.path = tree.path("log")}};
  UniqueFd process_in;
  UniqueFd process_out;
  UniqueFd process_err;
  std::unique_ptr<StreamHub> hub;

  void open(HubOptions options) {
    if (options.backlog_directory.empty()) options.backlog_directory = tree.path();
    hub = std::make_unique<StreamHub>(loop, options, events, &log);
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    process_in = std::move(in.read);
    process_out = std::move(out.write);
    process_err = std::move(err.write);
    set_nonblocking(process_in.get());
    set_nonblocking(process_out.get());
    hub->open_pipes(options.open_stdin ? std::move(in.write) : UniqueFd(), std::move(out.read), std::move(err.read));
  }
  UniqueFd attach(StreamChoice choice) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    hub->attach(std::move(choice), std::move(theirs));
    set_nonblocking(ours.get());
    return std::move(ours);
  }
  /// Runs the loop until nothing happens for a moment.
  void settle(int rounds = 50) {
    for (int i = 0; i < rounds; ++i) loop.run_once(milliseconds(1));
  }
  static std::string take(int fd) {
    std::string out;
    char buffer[65536];
    for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<std::size_t>(got));
    return out;
  }
  static bool at_end(int fd) {
    char byte = 0;
    return ::read(fd, &byte, 1) == 0;
  }
};

std::string frame(int stream, std::string_view text) {
  std::string out{static_cast<char>(stream),     0, 0, 0, 0, 0, static_cast<char>(text.size() >> 8),
                  static_cast<char>(text.size())};
  out += text;
  return out;
}

TEST_F(HubTest, EveryClientGetsAllOutputAndTheLogToo) {
  open({});
  const UniqueFd framed = attach({});
  const UniqueFd plain = attach({.framed = false});
  const UniqueFd errors = attach({.stdout_ = false});
  write_all(process_out.get(), "out\n");
  settle();
  write_all(process_err.get(), "err\n");
  settle();
  EXPECT_EQ(take(framed.get()), frame(1, "out\n") + frame(2, "err\n"));
  EXPECT_EQ(take(plain.get()), "out\nerr\n");
  EXPECT_EQ(take(errors.get()), frame(2, "err\n"));
  EXPECT_NE(tree.read("log").find("\"err\\n\",\"stream\":\"stderr\""), std::string::npos);
}

TEST_F(HubTest, AHeldClientGetsWhatTheLogDoesNotHoldOnceItIsReleased) {
  open({});
  write_all(process_out.get(), "whole\nbegun");
  settle();
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  auto [gate, shims_gate] = make_socket_pair(SOCK_STREAM);
  const LogPosition position = hub->attach_held({.framed = false}, std::move(theirs), std::move(shims_gate));
  set_nonblocking(ours.get());
  EXPECT_EQ(position.offset_bytes, static_cast<std::int64_t>(tree.read("log").size()));
  write_all(process_out.get(), " and ended\n");
  write_all(gate.get(), std::string(1, runtime::attach_gate_progress));
  process_out.reset();
  process_err.reset();
  hub->process_ended(milliseconds(0));
  settle();
  hub->close_clients();
  settle();
  EXPECT_EQ(take(ours.get()), "") << "the engine has not written the log yet";
  EXPECT_TRUE(hub->has_clients());
  write_all(gate.get(), std::string(1, runtime::attach_gate_release));
  settle();
  EXPECT_EQ(take(ours.get()), "begun and ended\n");
  EXPECT_TRUE(at_end(ours.get()));
  EXPECT_EQ(events.gone, 1);
}

TEST_F(HubTest, AHeldClientWhoseEngineDiesIsDropped) {
  open({});
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  auto [gate, shims_gate] = make_socket_pair(SOCK_STREAM);
  hub->attach_held({.framed = false, .session_id = "s"}, std::move(theirs), std::move(shims_gate));
  write_all(process_out.get(), "unseen");
  settle();
  gate.reset();
  settle();
  EXPECT_EQ(take(ours.get()), "");
  EXPECT_TRUE(at_end(ours.get()));
  EXPECT_EQ(events.closed, std::vector<std::string>{"s"});
  EXPECT_FALSE(hub->has_clients());
}

TEST_F(HubTest, AHalfCloseWithStdinOnceEndsTheInputAndKeepsTheOutput) {
  open({.open_stdin = true, .stdin_once = true});
  const UniqueFd client = attach({.stdin_ = true, .pending_input = "early "});
  write_all(client.get(), "hello");
  ::shutdown(client.get(), SHUT_WR);
  settle();
  EXPECT_EQ(take(process_in.get()), "early hello");
  EXPECT_TRUE(at_end(process_in.get()));
  write_all(process_out.get(), "still here");
  settle();
  EXPECT_EQ(take(client.get()), frame(1, "still here"));
  EXPECT_TRUE(events.closed.empty());
}

TEST_F(HubTest, AHalfCloseWithoutStdinOnceEndsTheSessionOnly) {
  open({.open_stdin = true});
  const UniqueFd client = attach({.stdin_ = true, .session_id = "s"});
  write_all(client.get(), "hello");
  ::shutdown(client.get(), SHUT_WR);
  settle();
  EXPECT_EQ(take(process_in.get()), "hello");
  EXPECT_FALSE(at_end(process_in.get()));
  EXPECT_TRUE(at_end(client.get()));
  EXPECT_EQ(events.closed, std::vector<std::string>{"s"});
}

TEST_F(HubTest, AHalfCloseWithoutStdinIsNoDisconnect) {
  open({});
  const UniqueFd client = attach({});
  ::shutdown(client.get(), SHUT_WR);
  settle();
  write_all(process_out.get(), "x");
  settle();
  EXPECT_EQ(take(client.get()), frame(1, "x"));
}

TEST_F(HubTest, InputForAProcessWithoutStdinIsReadAndDropped) {
  open({});
  const UniqueFd client = attach({.stdin_ = true});
  const std::string much(1 << 20, 'x');
  std::size_t written = 0;
  for (int i = 0; i < 200 && written < much.size(); ++i) {
    const ssize_t got = ::write(client.get(), much.data() + written, much.size() - written);
    if (got > 0) written += static_cast<std::size_t>(got);
    settle(5);
  }
  EXPECT_EQ(written, much.size());
  write_all(process_out.get(), "x");
  settle();
  EXPECT_EQ(take(client.get()), frame(1, "x"));
}

TEST_F(HubTest, ADisconnectWithStdinOnceEndsTheInputAfterWhatWasSent) {
  open({.open_stdin = true, .stdin_once = true});
  UniqueFd client = attach({.stdin_ = true});
  write_all(client.get(), std::string(100000, 'y'));
  client.reset();
  std::string got;
  for (int i = 0; i < 20; ++i) {
    settle(10);
    got += take(process_in.get());
  }
  EXPECT_EQ(got, std::string(100000, 'y'));
  EXPECT_TRUE(at_end(process_in.get()));
  EXPECT_FALSE(hub->has_clients());
}

TEST_F(HubTest, InputWaitsForAProcessThatDoesNotRead) {
  open({.open_stdin = true, .stdin_once = true});
  const UniqueFd client = attach({.stdin_ = true});
  const std::string much(2 << 20, 'z');
  std::size_t written = 0;
  for (int i = 0; i < 100; ++i) {
    const ssize_t got = ::write(client.get(), much.data() + written, much.size() - written);
    if (got > 0) written += static_cast<std::size_t>(got);
    settle(3);
  }
  EXPECT_LT(written, std::size_t{1} << 20) << "the shim took more than it should hold";
  std::size_t read = 0;
  for (int i = 0; i < 2000 && read < much.size(); ++i) {
    read += take(process_in.get()).size();
    if (written < much.size()) {
      const ssize_t got = ::write(client.get(), much.data() + written, much.size() - written);
      if (got > 0) written += static_cast<std::size_t>(got);
    }
    settle(2);
  }
  EXPECT_EQ(read, much.size());
}

TEST_F(HubTest, DetachKeysCloseTheClientAndLeaveTheProcessAlone) {
  open({.tty = true, .open_stdin = true, .stdin_once = true});
  const UniqueFd client = attach({.stdin_ = true, .framed = false, .detach_keys = "\x10\x11", .session_id = "s1"});
  write_all(client.get(),
            "ab\x10\x11"
            "cd");
  settle();
  EXPECT_EQ(take(process_in.get()), "ab");
  EXPECT_FALSE(at_end(process_in.get()));
  EXPECT_TRUE(at_end(client.get()));
  EXPECT_EQ(events.detached, std::vector<std::string>{"s1"});
  EXPECT_EQ(events.closed, std::vector<std::string>{"s1"});
}

TEST_F(HubTest, ASlowClientLosesNothingAndDoesNotHoldUpTheLog) {
  open({});
  const UniqueFd slow = attach({.framed = false});
  const UniqueFd quick = attach({.framed = false});
  std::string expected;
  std::string got_quick;
  for (int i = 0; expected.size() < 10 << 20; ++i) {
    std::string chunk = "chunk " + std::to_string(i) + std::string(30000, 'c') + "\n";
    expected += chunk;
    for (std::size_t at = 0; at < chunk.size();) {
      const ssize_t done = ::write(process_out.get(), chunk.data() + at, chunk.size() - at);
      if (done > 0) at += static_cast<std::size_t>(done);
      loop.run_once(milliseconds(0));
      got_quick += take(quick.get());
    }
  }
  settle();
  process_out.reset();
  process_err.reset();
  settle();
  EXPECT_EQ(events.drained, 0);
  hub->process_ended(milliseconds(1000));
  settle();
  EXPECT_EQ(events.drained, 1);
  hub->close_clients();
  settle();
  got_quick += take(quick.get());
  EXPECT_TRUE(got_quick == expected);
  EXPECT_EQ(events.gone, 0);
  std::string got_slow;
  for (int i = 0; i < 100000 && got_slow.size() < expected.size(); ++i) {
    got_slow += take(slow.get());
    loop.run_once(milliseconds(0));
  }
  settle();
  EXPECT_TRUE(got_slow == expected);
  EXPECT_TRUE(at_end(slow.get()));
  EXPECT_GE(events.gone, 1);
}

TEST_F(HubTest, BeyondTheLimitTheProcessWaitsAndAStuckClientIsDropped) {
  open({.backlog_limit_bytes = 1 << 20, .stall_limit = milliseconds(300)});
  const UniqueFd stuck = attach({.framed = false, .session_id = "stuck"});
  std::size_t written = 0;
  const std::string chunk(65536, 'x');
  const auto write_some = [&] {
    const ssize_t done = ::write(process_out.get(), chunk.data(), chunk.size());
    if (done > 0) written += static_cast<std::size_t>(done);
    loop.run_once(milliseconds(1));
  };
  for (int i = 0; i < 200; ++i) write_some();
  EXPECT_LT(written, std::size_t{2} << 20);
  for (int i = 0; i < 5000 && events.closed.empty(); ++i) loop.run_once(milliseconds(5));
  EXPECT_EQ(events.closed, std::vector<std::string>{"stuck"});
  for (int i = 0; i < 200; ++i) write_some();
  EXPECT_GT(written, std::size_t{8} << 20);
}

TEST_F(HubTest, AWriterLeftBehindHasItsGraceOnly) {
  open({});
  const UniqueFd left_behind = duplicate_fd(process_out.get());
  write_all(process_out.get(), "last words");
  process_out.reset();
  process_err.reset();
  const auto begin = std::chrono::steady_clock::now();
  hub->process_ended(milliseconds(50));
  for (int i = 0; i < 1000 && events.drained == 0; ++i) loop.run_once(milliseconds(5));
  EXPECT_EQ(events.drained, 1);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(50));
  EXPECT_NE(tree.read("log").find("last words"), std::string::npos);
}

/// A log whose server has stalled.
struct StalledLog final : LogSink {
  bool room = true;
  std::string text;
  void write(StreamId, std::string_view data) override { text += data; }
  void finish(StreamId) override {}
  bool has_room() const noexcept override { return room; }
};

TEST_F(HubTest, AStalledLogGetsWhatAnEndedProcessHasLeft) {
  StalledLog stalled;
  hub = std::make_unique<StreamHub>(loop, HubOptions{}, events, &stalled);
  Pipe out = make_pipe();
  process_out = std::move(out.write);
  hub->open_pipes({}, std::move(out.read), {});
  const UniqueFd left_behind = duplicate_fd(process_out.get());  // a grandchild holds the pipe open
  write_all(process_out.get(), "first ");
  settle();
  stalled.room = false;
  hub->on_log_room();
  write_all(process_out.get(), "last words");
  process_out.reset();
  hub->process_ended(milliseconds(1));
  settle(100);
  EXPECT_EQ(events.drained, 0) << "the grace is over, but the log has not got everything";
  stalled.room = true;
  for (int i = 0; i < 5000 && events.drained == 0; ++i) loop.run_once(milliseconds(1));
  EXPECT_EQ(events.drained, 1);
  EXPECT_EQ(stalled.text, "first last words");
}

TEST_F(HubTest, AfterTheEndNoClientIsTaken) {
  open({});
  process_out.reset();
  process_err.reset();
  hub->process_ended(milliseconds(50));
  hub->close_clients();
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  EXPECT_THROW_ERROR(hub->attach({}, std::move(theirs)), ErrorKind::conflict, "ended");
  settle();
  EXPECT_GE(events.gone, 1);
}

TEST_F(HubTest, ResizeNeedsATerminal) {
  open({});
  EXPECT_THROW_ERROR(hub->resize(24, 80), ErrorKind::conflict, "terminal");
}

TEST(LogSpeed, ThroughTheHubToTheLog) {
  const test::TempTree tree;
  EventLoop loop;
  Events events;
  LogWriter log({.path = tree.path("log")});
  StreamHub hub(loop, {.backlog_directory = tree.path()}, events, &log);
  Pipe out = make_pipe();
  set_nonblocking(out.write.get());
  hub.open_pipes({}, std::move(out.read), {});
  std::string chunk;
  while (chunk.size() < 65536)
    chunk += "a line of log as programs write it, of some eighty characters or so.........\n";
  constexpr std::size_t total = std::size_t{100} << 20;
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t done = 0; done < total;) {
    const ssize_t count = ::write(out.write.get(), chunk.data(), chunk.size());
    if (count > 0) done += static_cast<std::size_t>(count);
    loop.run_once(milliseconds(0));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("pipe to log: %.0f MB/s\n", 100 / took.count());
}

}  // namespace
}  // namespace mydocker::shim
