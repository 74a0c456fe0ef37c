// The relay that judges what other programs are answered (tests/support/relay.h): it must see every deviation, and the
// client and the engine must see nothing of it.

#include "tests/support/relay.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <mutex>

#include "engine/base/sys.h"
#include "tests/support/temp_tree.h"

namespace mydocker::test {
namespace {

constexpr int patience_ms = 20'000;

std::string read_until_end_of(int socket, std::string_view mark) {
  std::string out;
  std::array<char, 4096> buffer;
  while (out.find(mark) == std::string::npos && wait_readable(socket, patience_ms)) {
    const ssize_t got = retry_on_eintr([&] { return ::recv(socket, buffer.data(), buffer.size(), 0); });
    if (got <= 0) break;
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return out;
}

void send_text(int socket, std::string_view text) {
  EXPECT_EQ(::send(socket, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

std::string counted(const std::string& status, const std::string& body) {
  return concat("HTTP/1.1 ", status, "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(), "\r\n\r\n",
                body);
}

/// The test plays both the client and the engine; the relay is between them.
class RelayTest : public testing::Test {
 protected:
  void SetUp() override {
    listener_ = listen_unix(tree_.path() + "/engine.sock", SOCK_STREAM);
    relay_ = std::make_unique<Relay>(tree_.path() + "/relay.sock", tree_.path() + "/engine.sock",
                                     [this](const std::string& problem) {
                                       const std::lock_guard lock(mutex_);
                                       problems_.push_back(problem);
                                     });
    client_ = connect_unix(tree_.path() + "/relay.sock", SOCK_STREAM);
    ASSERT_TRUE(wait_readable(listener_.get(), patience_ms));
    engine_ = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  std::vector<std::string> problems() {
    const std::lock_guard lock(mutex_);
    return problems_;
  }
  /// One request and its answer; the client gets it as it was sent.
  void exchange(const std::string& request, const std::string& answer, std::string_view mark) {
    send_text(client_.get(), request);
    EXPECT_EQ(read_until_end_of(engine_.get(), request), request);
    // In single bytes: no piece may matter.
    for (const char& byte : answer) send_text(engine_.get(), std::string_view(&byte, 1));
    EXPECT_EQ(read_until_end_of(client_.get(), mark), answer);
  }

  TempTree tree_{};
  std::mutex mutex_;
  std::vector<std::string> problems_;
  UniqueFd listener_;
  std::unique_ptr<Relay> relay_;
  UniqueFd client_;
  UniqueFd engine_;
};

TEST_F(RelayTest, EveryAnswerOfAKeptAliveConnectionIsJudged) {
  exchange("POST /v1.51/containers/x/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}",
           counted("200 OK", R"({"StatusCode":0})"), "}");
  EXPECT_EQ(problems().size(), 0U);
  exchange(
      "POST /v1.51/containers/x/wait HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
      counted("200 OK", R"({"StatusCode":"0"})"), "}");
  ASSERT_EQ(problems().size(), 1U);
  EXPECT_NE(problems()[0].find("type ContainerWaitResponse.StatusCode"), std::string::npos) << problems()[0];
  exchange("POST /v1.51/containers/x/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\n{\"Err\r\n8\r\nor\":null\r\n1\r\n}\r\n0\r\n\r\n",
           "0\r\n\r\n");
  EXPECT_GT(problems().size(), 1U);
  exchange("HEAD /v1.51/_ping HTTP/1.1\r\nHost: d\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n", "\r\n\r\n");
  const std::size_t before = problems().size();
  exchange("GET /v1.51/containers/x/json HTTP/1.1\r\nHost: d\r\n\r\n", counted("200 OK", "[]"), "]");
  EXPECT_GT(problems().size(), before);
  EXPECT_EQ(relay_->responses(), 5);
}

TEST_F(RelayTest, AfterAnUpgradeBytesAndHalfClosesPass) {
  exchange(
      "POST /v1.51/containers/x/attach?stream=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
      "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", "\r\n\r\n");
  send_text(client_.get(), "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(read_until_end_of(engine_.get(), "\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
  ::shutdown(client_.get(), SHUT_WR);
  EXPECT_EQ(read_until_end_of(engine_.get(), "nothing"), "");  // the end
  send_text(engine_.get(), "late");
  engine_.reset();
  EXPECT_EQ(read_until_end_of(client_.get(), "nothing"), "late");
  EXPECT_EQ(relay_->responses(), 1);
  EXPECT_EQ(problems().size(), 0U);
}

TEST_F(RelayTest, ARefusedUpgradeLeavesHttp) {
  exchange("POST /v1.51/exec/x/start HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
           counted("404 Not Found", R"({"message":"none"})"), "}");
  exchange("GET /v1.51/containers/x/json HTTP/1.1\r\nHost: d\r\n\r\n", counted("200 OK", "[]"), "]");
  EXPECT_GT(problems().size(), 0U);
  EXPECT_EQ(relay_->responses(), 2);
}

TEST_F(RelayTest, AClientThatVanishesIsSeenByTheEngine) {
  send_text(client_.get(), "GET /events HTTP/1.1\r\nHost: d\r\n\r\n");
  EXPECT_NE(read_until_end_of(engine_.get(), "\r\n\r\n"), "");
  client_.reset();
  pollfd entry{.fd = engine_.get(), .events = 0, .revents = 0};
  EXPECT_EQ(::poll(&entry, 1, patience_ms), 1);
  EXPECT_NE(entry.revents & POLLHUP, 0);
}

}  // namespace
}  // namespace mydocker::test
