// Fifty clients at once on twenty containers: start, stop, kill, pause, exec, attach, logs, wait, rm, in no order. No
// request hangs, each wait is answered once with the code of the exit that it waited for, and nothing is left behind.
//   MYDOCKER_TEST_STORM_SECONDS=600   instead of the two minutes of an ordinary run
//   MYDOCKER_TEST_SEED=N              the choices of another run

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"
#include "tests/support/foreign_load.h"

namespace mydocker::test {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr int client_count = 50;
constexpr int container_count = 20;

long from_environment(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::atol(value) : otherwise;
}

/// What no request may reach, on a machine that does nothing else (tests/support/foreign_load.h).
constexpr double longest_seconds = 2;

/// One container's place; whoever removes it fills it again.
struct Place {
  std::mutex mutex;
  std::string id;

  std::string get() {
    const std::lock_guard lock(mutex);
    return id;
  }
};

struct Exit {
  int code = 0;
  std::int64_t time = 0;  ///< Unix time in nanoseconds
};

/// A wait for the next exit.
struct Answered {
  std::string id;
  int code = 0;
  std::int64_t asked = 0;
  std::int64_t promised = 0;  ///< its head came: no exit from now on may be missed
  std::int64_t answered = 0;
};

/// Every exit that the engine told, by container.
class Exits {
 public:
  void add(const std::string& id, Exit exit) {
    const std::lock_guard lock(mutex_);
    told_[id].push_back(exit);
  }
  bool knows(const std::string& id, int code) const {
    const std::vector<Exit> all = of(id);
    return std::any_of(all.begin(), all.end(), [&](const Exit& exit) { return exit.code == code; });
  }
  /// In the order of their times.
  std::vector<Exit> of(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = told_.find(id);
    if (found == told_.end()) return {};
    std::vector<Exit> out = found->second;
    std::sort(out.begin(), out.end(), [](const Exit& a, const Exit& b) { return a.time < b.time; });
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Exit>> told_;
};

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class StormTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    load_ = std::make_unique<ForeignLoad>([this] {
      return processor_seconds(::getpid()) + processor_seconds(engine().pid()) +
             processor_seconds_of_cgroup(surroundings().cgroup_parent());
    });
  }
  void TearDown() override {
    load_.reset();
    DaemonTest::TearDown();
  }

  std::string make(int number) {
    // TERM gives a code of its own: an answer for another container's exit would be seen.
    const std::string script = concat("trap 'exit ", 10 + number, "' TERM; while :; do sleep 60 & wait $!; done");
    return create({.command = {"sh", "-c", script}, .host = {{"NetworkMode", number % 4 == 0 ? "bridge" : "none"}}});
  }

  void client_loop(unsigned seed, Clock::time_point end);
  void verb(std::mt19937& random, Place& place);
  /// Sends, and judges how long it took and whether the answer is one of those that the verb may give.
  Response send(const std::string& method, const std::string& path, std::initializer_list<int> right,
                const std::string& body = {});
  void took(const std::string& what, Clock::time_point since);
  void expect_quick(const std::string& what, Clock::time_point since, Clock::time_point until);
  /// True when the answer is that of an exit which was told, false for one to a container that went before it ended.
  bool judge_wait(const Answered& one);
  void exec_in(const std::string& id);
  void attach_to(const std::string& id);
  void wait_for(const std::string& id);
  void replace(Place& place, const std::string& id);

  std::unique_ptr<ForeignLoad> load_;
  Place places_[container_count];
  Exits exits_;
  std::mutex mutex_;
  std::vector<Answered> answered_;
  Milliseconds longest_{};
  std::string longest_what_;
  std::atomic<long> requests_ = 0;
};

void StormTest::expect_quick(const std::string& what, Clock::time_point since, Clock::time_point until) {
  const double seconds = std::chrono::duration<double>(until - since).count();
  if (seconds < longest_seconds) return;
  const double limit = longest_seconds * load_->stretch(since, until);
  EXPECT_LT(seconds, limit) << what << " took that many seconds";
}

void StormTest::took(const std::string& what, Clock::time_point since) {
  const auto now = Clock::now();
  expect_quick(what, since, now);
  const auto time = std::chrono::duration_cast<Milliseconds>(now - since);
  ++requests_;
  const std::lock_guard lock(mutex_);
  if (time > longest_) {
    longest_ = time;
    longest_what_ = what;
  }
}

Response StormTest::send(const std::string& method, const std::string& path, std::initializer_list<int> right,
                         const std::string& body) {
  const auto begin = Clock::now();
  Headers headers;
  if (!body.empty()) headers.emplace_back("Content-Type", "application/json");
  Response response = client().request(method, path, body, headers, std::chrono::seconds(60));
  took(concat(method, " ", path), begin);
  EXPECT_NE(std::find(right.begin(), right.end(), response.status), right.end())
      << method << " " << path << ": " << response.status << " " << response.body;
  return response;
}

void StormTest::exec_in(const std::string& id) {
  const Response made = send("POST", "/containers/" + id + "/exec", {201, 404, 409},
                             R"({"Cmd":["echo","storm"],"AttachStdout":true,"AttachStderr":true})");
  if (made.status != 201) return;
  const std::string exec_id = text(at(made.json(), "Id"));
  const auto begin = Clock::now();
  HttpStream stream = client().hijack("/exec/" + exec_id + "/start", "{}");
  const std::string out = stream.read_to_end();
  took("exec", begin);
  // It may be frozen, or the container may end, between the two requests; then the text says so.
  if (stream.head().status == 101 && out.find("storm") == std::string::npos) {
    const Response state = client().get("/exec/" + exec_id + "/json");
    EXPECT_TRUE(state.status == 404 || at(state.json(), "ExitCode") != json::value(0)) << out << state.body;
  }
}

void StormTest::attach_to(const std::string& id) {
  const auto begin = Clock::now();
  HttpStream stream = client().hijack("/containers/" + id + "/attach?stream=1&stdout=1&stderr=1");
  took("attach", begin);
  const int status = stream.head().status;
  EXPECT_TRUE(status == 101 || status == 404 || status == 409) << status;
}

void StormTest::wait_for(const std::string& id) {
  const std::int64_t asked = unix_now();
  const auto begin = Clock::now();
  HttpStream stream = client().open("POST", "/containers/" + id + "/wait?condition=next-exit");
  took("the head of a wait", begin);
  if (stream.head().status != 200) return;
  const std::int64_t promised = unix_now();
  const std::string body = stream.read_to_end(std::chrono::minutes(5));
  const std::int64_t answered = unix_now();
  const json::value answer = parse_json(body);  // one document: the answer came once
  const std::lock_guard lock(mutex_);
  answered_.push_back({.id = id,
                       .code = static_cast<int>(at(answer, "StatusCode").to_number<std::int64_t>()),
                       .asked = asked,
                       .promised = promised,
                       .answered = answered});
}

bool StormTest::judge_wait(const Answered& one) {
  const std::vector<Exit> exits = exits_.of(one.id);
  // The answer is that of the first exit after the promise; one between question and promise may have been it as well.
  bool right = false;
  for (const Exit& exit : exits) {
    if (exit.time < one.asked) continue;
    right = right || exit.code == one.code;
    if (exit.time < one.promised) continue;
    EXPECT_TRUE(right) << one.id << ": waited for " << exit.code << " and was told " << one.code;
    if (exit.time < one.answered) {
      const auto moment = [](std::int64_t time) { return Clock::now() - std::chrono::nanoseconds(unix_now() - time); };
      expect_quick("the answer to a wait after the exit", moment(exit.time), moment(one.answered));
    }
    return right;
  }
  if (right) return true;
  // It was removed before it ended again: the answer is its last code, or 0 without one.
  EXPECT_TRUE(one.code == 0 || exits_.knows(one.id, one.code)) << one.id << ": a code that no exit had: " << one.code;
  return false;
}

void StormTest::replace(Place& place, const std::string& id) {
  const std::unique_lock lock(place.mutex, std::try_to_lock);
  if (!lock || place.id != id) return;
  send("DELETE", "/containers/" + id + "?force=1", {204, 404});
  place.id = make(static_cast<int>(&place - places_));
}

void StormTest::verb(std::mt19937& random, Place& place) {
  const std::string id = place.get();
  const std::string path = "/containers/" + id;
  switch (random() % 14) {
    case 0:
    case 1:
    case 2:
      send("POST", path + "/start", {204, 304, 404, 409});
      break;
    case 3:
      send("POST", path + "/stop?t=0", {204, 304, 404, 409});
      break;
    case 4:
      send("POST", path + "/kill?signal=TERM", {204, 404, 409});
      break;
    case 5:
      send("POST", path + "/kill", {204, 404, 409});
      break;
    case 6:
      send("POST", path + "/pause", {204, 404, 409});
      break;
    case 7:
    case 8:
      send("POST", path + "/unpause", {204, 404, 409, 500});  // 500: it is not paused
      break;
    case 9:
      exec_in(id);
      break;
    case 10:
      attach_to(id);
      break;
    case 11:
      send("GET", path + "/logs?stdout=1&stderr=1&tail=10", {200, 404, 409});
      break;
    case 12:
      send("GET", path + "/json", {200, 404});
      break;
    default:
      replace(place, id);
  }
}

void StormTest::client_loop(unsigned seed, Clock::time_point end) {
  std::mt19937 random(seed);
  while (Clock::now() < end) {
    try {
      verb(random, places_[random() % container_count]);
    } catch (const Error& error) {
      ADD_FAILURE() << error.message();
      return;
    }
  }
}

TEST_F(StormTest, FiftyClientsNeitherHangNorBreakAnything) {
  const auto seconds = std::chrono::seconds(from_environment("MYDOCKER_TEST_STORM_SECONDS", 120));
  const auto seed = static_cast<unsigned>(from_environment("MYDOCKER_TEST_SEED", std::random_device()() % 1'000'000));
  SCOPED_TRACE(concat("MYDOCKER_TEST_SEED=", seed));
  for (int i = 0; i < container_count; ++i) places_[i].id = make(i);

  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["die"]})"));
  std::jthread listener([&] {
    try {
      while (const std::optional<std::string> line = events.read_line(std::chrono::minutes(10))) {
        const json::value event = parse_json(*line);
        exits_.add(text(at(event, "Actor.ID")), {.code = std::stoi(text(at(event, "Actor.Attributes.exitCode"))),
                                                 .time = at(event, "timeNano").to_number<std::int64_t>()});
      }
    } catch (const Error&) {  // closed at the end
    }
  });

  const auto end = Clock::now() + seconds;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < client_count - 10; ++i) {
      threads.emplace_back([&, i] { client_loop(seed + static_cast<unsigned>(i), end); });
    }
    // Ten of the fifty wait, one exit after the other.
    for (int i = 0; i < 10; ++i) {
      threads.emplace_back([&, i] {
        std::mt19937 random(seed + 1000U + static_cast<unsigned>(i));
        while (Clock::now() < end) {
          try {
            wait_for(places_[random() % container_count].get());
          } catch (const Error& error) {
            ADD_FAILURE() << "wait: " << error.message();
            return;
          }
        }
      });
    }
    // Whoever still waits at the end gets an answer, because every container goes.
    std::this_thread::sleep_until(end);
    for (Place& place : places_) {
      const std::lock_guard lock(place.mutex);
      client().post("/containers/" + place.id + "/kill");
      client().remove("/containers/" + place.id + "?force=1");
    }
  }
  EXPECT_FALSE(engine().has_died());
  EXPECT_EQ(client().get("/containers/json?all=1").body, "[]\n");
  // A removal of a container that does not run answers its waiters with what it had.
  const std::string last = run({.command = {"/payload", "exit", "77"}});
  ASSERT_EQ(wait(last), 77);
  ASSERT_TRUE(eventually([&] { return exits_.knows(last, 77); }));
  ::shutdown(events.fd(), SHUT_RDWR);
  listener.join();

  const auto matched =
      std::count_if(answered_.begin(), answered_.end(), [&](const Answered& one) { return judge_wait(one); });
  EXPECT_GT(matched, 0);
  std::cout << requests_ << " requests, " << answered_.size() << " waits answered, the longest request "
            << longest_.count() << " ms (" << longest_what_ << "), others stretched time by "
            << load_->stretch(end - seconds, end) << "\n";
}

}  // namespace
}  // namespace mydocker::test
