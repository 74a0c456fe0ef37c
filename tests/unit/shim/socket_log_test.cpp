#include "runtime/shim/socket_log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "engine/base/sys.h"
#include "runtime/log_gzip.h"
#include "runtime/shim/log_message.h"
#include "runtime/shim/log_writer.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::shim {
namespace {

using runtime::StreamId;
using std::chrono::milliseconds;

struct Server {
  UniqueFd socket;
  std::string address;

  explicit Server(int type) : socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof where;
    ::bind(socket.get(), reinterpret_cast<sockaddr*>(&where), length);
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&where), &length);
    address = concat("127.0.0.1:", ntohs(where.sin_port));
    if (type == SOCK_STREAM) ::listen(socket.get(), 1);
  }
};

runtime::LogOptions syslog_to(const Server& server, std::string transport) {
  runtime::LogOptions options;
  options.driver = "syslog";
  options.syslog = runtime::SyslogOptions{
      .transport = std::move(transport), .address = server.address, .format = "rfc5424", .tag = "t", .host_name = "h"};
  return options;
}

std::string receive(int fd) {
  std::string out(65536, '\0');
  const ssize_t got = ::recv(fd, out.data(), out.size(), MSG_DONTWAIT);
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

TEST(SocketLog, EachLineIsADatagram) {
  const Server server(SOCK_DGRAM);
  EventLoop loop;
  SocketLog log(loop, syslog_to(server, "udp"), [] {});
  log.write(StreamId::out, "one\ntw");
  log.write(StreamId::err, "bad\n");
  log.write(StreamId::out, "o\nrest");
  log.finish(StreamId::out);
  for (const char* end : {" t - one\n", " t - bad\n", " t - two\n", " t - rest\n"}) {
    ASSERT_TRUE(wait_readable(server.socket.get(), 5000));
    const std::string message = receive(server.socket.get());
    EXPECT_TRUE(message.ends_with(end)) << message;
    EXPECT_TRUE(message.starts_with(std::string(end).find("bad") != std::string::npos ? "<27>1 " : "<30>1 "))
        << message;
  }
}

TEST(SocketLog, AServerThatStallsMakesTheContainerWaitAndGetsEverything) {
  const Server server(SOCK_STREAM);
  EventLoop loop;
  int rooms = 0;
  SocketLog log(loop, syslog_to(server, "tcp"), [&] { ++rooms; });
  const UniqueFd connection(::accept4(server.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::size_t sent = 0;
  while (log.has_room()) {
    log.write(StreamId::out, std::string(1000, 'x') + "\n");
    ++sent;
    ASSERT_LT(sent, 100'000U);
  }
  EXPECT_EQ(rooms, 0);
  std::size_t lines = 0;
  for (int i = 0; i < 100'000 && lines < sent; ++i) {
    const std::string part = receive(connection.get());
    lines += static_cast<std::size_t>(std::count(part.begin(), part.end(), '\n'));
    loop.run_once(milliseconds(part.empty() ? 10 : 0));
  }
  EXPECT_EQ(lines, sent);
  EXPECT_EQ(rooms, 1);
  EXPECT_TRUE(log.has_room());
}

TEST(SocketLog, WithABufferItLosesInsteadOfWaiting) {
  const Server server(SOCK_STREAM);
  EventLoop loop;
  runtime::LogOptions options = syslog_to(server, "tcp");
  options.buffer_bytes = 10'000;
  SocketLog log(loop, options, [] {});
  for (int i = 0; i < 50'000; ++i) {
    log.write(StreamId::out, std::string(1000, 'x') + "\n");
    ASSERT_TRUE(log.has_room());
  }
}

TEST(SocketLog, ALostConnectionIsMadeAgain) {
  const Server server(SOCK_STREAM);
  EventLoop loop;
  SocketLog log(loop, syslog_to(server, "tcp"), [] {});
  UniqueFd connection(::accept4(server.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  connection.reset();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  bool again = false;
  while (!again && std::chrono::steady_clock::now() < end) {
    log.write(StreamId::out, "still there\n");
    loop.run_once(milliseconds(20));
    again = wait_readable(server.socket.get(), 0);
  }
  ASSERT_TRUE(again);
  connection = UniqueFd(::accept4(server.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(wait_readable(connection.get(), 5000));
  EXPECT_NE(receive(connection.get()).find("still there\n"), std::string::npos);
}

TEST(SocketLog, NobodyThereIsAnErrorInTheDriversWords) {
  std::string address;
  runtime::LogOptions options;
  {
    const Server server(SOCK_STREAM);
    options = syslog_to(server, "tcp");
  }
  EventLoop loop;
  EXPECT_THROW_ERROR(SocketLog(loop, options, [] {}), ErrorKind::unavailable,
                     "failed to initialize logging driver: dial tcp");
}

TEST(LogMessage, JournalEntriesAreFieldsAndLineEndsAreCounted) {
  runtime::LogOptions options;
  options.fields = {{"CONTAINER_NAME", "web"}, {"MULTI", "a\nb"}};
  const std::string entry = make_journal_entry(options, StreamId::err, "text\n");
  EXPECT_EQ(entry,
            std::string("MESSAGE=text\nPRIORITY=3\nCONTAINER_NAME=web\nMULTI\n\3\0\0\0\0\0\0\0a\nb\n",
                        sizeof "MESSAGE=text\nPRIORITY=3\nCONTAINER_NAME=web\nMULTI\n\3\0\0\0\0\0\0\0a\nb\n" - 1));
  EXPECT_NE(make_journal_entry(options, StreamId::out, "part").find("CONTAINER_PARTIAL_MESSAGE=true\n"),
            std::string::npos);
}

TEST(LogCompressor, RotatedFilesBecomeGzipWhileTheWriterGoesOn) {
  const test::TempTree tree;
  EventLoop loop;
  LogWriter writer({.path = tree.path("log"), .max_size_bytes = 20'000, .max_files = 4, .compress = true}, &loop);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
    if (i < 2000) writer.write(StreamId::out, concat("line ", i, "\n"));
    loop.run_once(milliseconds(i < 2000 ? 0 : 20));
    if (i >= 2000 && tree.exists("log.1.gz") && tree.exists("log.2.gz") && tree.exists("log.3.gz")) break;
  }
  for (const char* name : {"log.1", "log.2", "log.3", "log.4.gz"}) EXPECT_FALSE(tree.exists(name)) << name;
  const UniqueFd file = open_file(tree.path("log.2.gz"), O_RDONLY);
  const UniqueFd plain = runtime::gunzip_log(file.get(), tree.path(""));
  const std::string text = read_file(concat("/proc/self/fd/", plain.get()));
  EXPECT_GT(text.size(), 15'000U);
  EXPECT_TRUE(text.starts_with("{\"log\":\"line "));
}

}  // namespace
}  // namespace mydocker::shim
