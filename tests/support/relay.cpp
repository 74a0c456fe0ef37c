#include "tests/support/relay.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <mutex>
#include <utility>

#include "engine/base/sys.h"
#include "tests/support/http_follower.h"

namespace mydocker::test {
namespace {

/// False when the other side does not listen any more.
bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = retry_on_eintr([&] { return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
    if (done < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

/// Returns when both directions of the socket are closed, by whichever side.
void wait_for_hangup(int socket) {
  pollfd entry{.fd = socket, .events = 0, .revents = 0};  // POLLHUP comes unasked
  while (::poll(&entry, 1, -1) < 0 && errno == EINTR) {
  }
}

/// docker-py loses what arrives together with such a head; the engine sends the stream when the head was taken, and
/// what it keeps apart is not put together here.
void wait_until_taken(int socket) {
  int unread = 0;
  for (int i = 0; i < 2000 && ::ioctl(socket, SIOCOUTQ, &unread) == 0 && unread > 0; ++i) {
    pollfd gone{socket, 0, 0};
    if (::poll(&gone, 1, 1) > 0) return;
  }
}

}  // namespace

/// One client's connection and the one to the engine: a thread for each direction.
class Relay::Connection {
 public:
  Connection(UniqueFd client, UniqueFd engine, Relay& relay)
      : relay_(relay),
        client_(std::move(client)),
        engine_(std::move(engine)),
        requests_({.head = [this](std::string_view head) { return begin_request(head); },
                   .body = [](std::string_view) {},
                   .end = [this] { end_request(); }}),
        responses_({.head = [this](std::string_view head) { return begin_response(head); },
                    .body = [this](std::string_view bytes) { judge_.add(bytes); },
                    .end = [this] { end_response(); }}) {
    forth_ = std::thread([this] { carry_requests(); });
    back_ = std::thread([this] { carry_responses(); });
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    cut();
    forth_.join();
    back_.join();
  }

  bool ended() const { return running_ == 0; }
  void cut() {
    ::shutdown(client_.get(), SHUT_RDWR);
    ::shutdown(engine_.get(), SHUT_RDWR);
  }

 private:
  struct Asked {
    std::string head;
    bool upgrade = false;
  };

  void carry_requests();
  void carry_responses();
  /// Reads from `from`, shows it to `follower`, sends it to `to`, until the end.
  void carry(int from, int to, HttpFollower& follower);
  void follow(HttpFollower& follower, std::string_view bytes);

  BodyFraming begin_request(std::string_view head);
  void end_request();
  BodyFraming begin_response(std::string_view head);
  void end_response();

  Relay& relay_;
  UniqueFd client_;
  UniqueFd engine_;
  std::mutex mutex_;  ///< everything below but the threads
  std::deque<Asked> asked_;
  bool upgrading_ = false;  ///< the request that is being read wants to be no HTTP afterwards
  bool interim_ = false;    ///< the head that was read last is a 100: another one follows
  bool lost_ = false;       ///< what was read is no HTTP: nothing more is judged
  ResponseJudge judge_;
  HttpFollower requests_;
  HttpFollower responses_;
  bool hijacked_ =
      false;  ///< of the thread that carries responses: a head was read behind which the bytes are a stream's
  std::atomic<int> running_ = 2;
  std::thread forth_;
  std::thread back_;
};

void Relay::Connection::follow(HttpFollower& follower, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (lost_) return;
  try {
    follower.push(bytes);
  } catch (const std::exception&) {  // tests send broken HTTP, too; the engine answers it as it likes
    lost_ = true;
  }
}

void Relay::Connection::carry(int from, int to, HttpFollower& follower) {
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = retry_on_eintr([&] { return ::recv(from, buffer.data(), buffer.size(), 0); });
    if (got <= 0) return;
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    // Before it is sent: the answer must find its question.
    follow(follower, bytes);
    if (!send_all(to, bytes)) return;
    if (&follower == &responses_ && std::exchange(hijacked_, false)) wait_until_taken(to);
  }
}

void Relay::Connection::carry_requests() {
  carry(client_.get(), engine_.get(), requests_);
  ::shutdown(engine_.get(), SHUT_WR);
  // A client that goes after its half-close is to be seen by the engine as it would be without us.
  wait_for_hangup(client_.get());
  ::shutdown(engine_.get(), SHUT_RDWR);
  --running_;
}

void Relay::Connection::carry_responses() {
  carry(engine_.get(), client_.get(), responses_);
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) responses_.finish();
  }
  ::shutdown(client_.get(), SHUT_WR);
  // What the client still sends reaches an engine that only closed its own direction, and nobody else.
  wait_for_hangup(engine_.get());
  ::shutdown(client_.get(), SHUT_RDWR);
  --running_;
}

BodyFraming Relay::Connection::begin_request(std::string_view head) {
  const std::map<std::string, std::string> headers = parse_headers(head.substr(head.find("\r\n") + 2));
  upgrading_ = headers.contains("upgrade");
  asked_.push_back({.head = std::string(head), .upgrade = upgrading_});
  return framing_of(headers, BodyFraming::Kind::none);
}

void Relay::Connection::end_request() {
  if (upgrading_) requests_.hold();
}

BodyFraming Relay::Connection::begin_response(std::string_view head) {
  using Kind = BodyFraming::Kind;
  const Response response = parse_response_head(head);
  interim_ = response.status == 100;
  if (interim_) return {};
  if (asked_.empty()) {  // an answer to what could not be read as a request
    lost_ = true;
    return {.kind = Kind::opaque};
  }
  const Asked asked = std::move(asked_.front());
  asked_.pop_front();
  ++relay_.responses_;
  judge_ = ResponseJudge(relay_.report_);
  judge_.begin(asked.head, response);
  const bool bodiless = asked.head.starts_with("HEAD ") || response.status == 204 || response.status == 304;
  const BodyFraming framing = response.status == 101 ? BodyFraming{.kind = Kind::opaque}
                              : bodiless             ? BodyFraming{}
                                                     : framing_of(response.headers, Kind::until_close);
  // Without a length the connection is the answer's (or a stream's) until its end.
  upgrading_ = false;
  const bool no_more_requests = framing.kind == Kind::opaque || framing.kind == Kind::until_close;
  if (no_more_requests || asked.upgrade) requests_.go_on(no_more_requests);
  hijacked_ = no_more_requests;
  return framing;
}

void Relay::Connection::end_response() {
  if (!interim_) judge_.end();
}

Relay::Relay(const std::string& socket, std::string engine_socket, ProblemReport report)
    : socket_(socket), engine_socket_(std::move(engine_socket)), report_(std::move(report)) {
  listener_ = listen_unix(socket_, SOCK_STREAM);
  accepting_ = std::thread([this] { accept_all(); });
}

Relay::~Relay() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  accepting_.join();
  connections_.clear();
  ::unlink(socket_.c_str());
}

void Relay::accept_all() {
  for (;;) {
    UniqueFd client(retry_on_eintr([&] { return ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC); }));
    if (!client) return;
    std::erase_if(connections_, [](const auto& connection) { return connection->ended(); });
    try {
      UniqueFd engine = connect_unix(engine_socket_, SOCK_STREAM);
      connections_.push_back(std::make_unique<Connection>(std::move(client), std::move(engine), *this));
    } catch (const Error&) {  // no engine: the client is closed as by one that dies
    }
  }
}

}  // namespace mydocker::test
