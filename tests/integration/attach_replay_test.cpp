// attach?logs=1&stream=1: what was written and what is being written are one sequence, without a gap and nothing twice.

#include <charconv>
#include <random>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

/// Takes the text of a session, however it is packed.
enum class Packing { raw, frames, websocket };

/// Unpacks what came so far; what is not whole yet stays in `bytes`.
std::string unpack(std::string& bytes, Packing packing) {
  if (packing == Packing::raw) return std::exchange(bytes, {});
  const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at])); };
  std::string text;
  for (;;) {
    std::size_t head = packing == Packing::frames ? 8 : 2;
    if (bytes.size() < head) return text;
    std::size_t size = byte(1);
    if (packing == Packing::frames) {
      size = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
    } else if (size == 126) {
      head = 4;
      if (bytes.size() < head) return text;
      size = byte(2) << 8 | byte(3);
    }
    if (bytes.size() < head + size) return text;
    text.append(bytes, head, size);
    bytes.erase(0, head + size);
  }
}

/// Numbers between separators, each one more than the one before. The first may be cut off at its beginning: rotation
/// removes whole records only, but a record may be a piece of a line.
class Sequence {
 public:
  void feed(std::string_view text) {
    for (const char c : text) {
      if (c >= '0' && c <= '9') {
        word_ += c;
      } else if (!word_.empty()) {
        take();
      }
    }
  }
  long last() const { return last_; }
  long count() const { return count_; }
  const std::string& problem() const { return problem_; }

 private:
  void take() {
    long number = -1;
    std::from_chars(word_.data(), word_.data() + word_.size(), number);
    word_.clear();
    ++count_;
    if (count_ > 2 && number != last_ + 1 && problem_.empty()) problem_ = concat(last_, " is followed by ", number);
    last_ = number;
  }

  std::string word_;
  long last_ = -1;
  long count_ = 0;
  std::string problem_;
};

class AttachReplayTest : public DaemonTest {
 protected:
  static constexpr int rounds = 15;

  static json::object log_to(const std::string& driver, const json::object& options) {
    return {{"NetworkMode", "none"}, {"LogConfig", json::object{{"Type", driver}, {"Config", options}}}};
  }

  HttpStream attach(const std::string& id, Packing packing) {
    const std::string query = "?logs=1&stream=1&stdout=1&stderr=1";
    if (packing != Packing::websocket) return client().hijack("/containers/" + id + "/attach" + query);
    return client().open("GET", "/containers/" + id + "/attach/ws" + query, {},
                         {{"Connection", "Upgrade"},
                          {"Upgrade", "websocket"},
                          {"Sec-WebSocket-Version", "13"},
                          {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}});
  }

  /// A number that the container has written already.
  long written_so_far(const std::string& id, Packing packing) {
    std::string bytes = client().get("/containers/" + id + "/logs?stdout=1&tail=2").body;
    Sequence numbers;
    numbers.feed(unpack(bytes, packing == Packing::raw ? Packing::raw : Packing::frames));
    return numbers.last();
  }

  /// Attaches at moments that nobody chose, and reads each time until well behind the place where replay and stream
  /// meet: that lies before what the container has written by now.
  void expect_one_sequence(const std::string& id, Packing packing) {
    std::mt19937 random(std::random_device{}());
    for (int round = 0; round < rounds; ++round) {
      HttpStream stream = attach(id, packing);
      ASSERT_EQ(stream.head().status, 101);
      const long beyond = written_so_far(id, packing) + 200 + static_cast<long>(random() % 2000);
      Sequence numbers;
      std::string bytes;
      while (numbers.last() < beyond && numbers.problem().empty()) {
        const std::string piece = stream.read_some();
        ASSERT_FALSE(piece.empty()) << "the stream ended at " << numbers.last();
        bytes += piece;
        numbers.feed(unpack(bytes, packing));
      }
      ASSERT_EQ(numbers.problem(), "") << "round " << round;
    }
  }

  static std::vector<std::string> flat_out() { return {"/payload", "seq", "0"}; }
  /// One line without an end, in as many writes as there are numbers.
  static std::vector<std::string> one_long_line() {
    return {"/bin/busybox", "sh", "-c", "i=0; while :; do printf '%d,' $i; i=$((i+1)); done"};
  }
};

TEST_F(AttachReplayTest, LinesOfAJsonFile) {
  const std::string id = run({.command = {"/payload", "seq", "50"}});
  expect_one_sequence(id, Packing::frames);
}

TEST_F(AttachReplayTest, AsFastAsTheContainerCanWhileFilesRotate) {
  const std::string id =
      run({.command = flat_out(), .host = log_to("json-file", {{"max-size", "300k"}, {"max-file", "3"}})});
  expect_one_sequence(id, Packing::frames);
}

TEST_F(AttachReplayTest, ALogOfOneFileThatBeginsAfresh) {
  const std::string id =
      run({.command = flat_out(), .host = log_to("json-file", {{"max-size", "300k"}, {"max-file", "1"}})});
  expect_one_sequence(id, Packing::frames);
}

TEST_F(AttachReplayTest, ACompactLogWithCompressedFiles) {
  const std::string id =
      run({.command = flat_out(), .host = log_to("local", {{"max-size", "300k"}, {"max-file", "4"}})});
  expect_one_sequence(id, Packing::frames);
}

TEST_F(AttachReplayTest, ALineThatNeverEnds) {
  for (const char* driver : {"json-file", "local"}) {
    const std::string id = run({.command = one_long_line(), .host = log_to(driver, {})});
    expect_one_sequence(id, Packing::frames);
    remove(id);
  }
}

TEST_F(AttachReplayTest, ATerminal) {
  const std::string id = run({.command = flat_out(),
                              .extra = {{"Tty", true}},
                              .host = log_to("json-file", {{"max-size", "300k"}, {"max-file", "3"}})});
  expect_one_sequence(id, Packing::raw);
}

TEST_F(AttachReplayTest, AWebsocket) {
  const std::string id =
      run({.command = flat_out(), .host = log_to("json-file", {{"max-size", "300k"}, {"max-file", "3"}})});
  expect_one_sequence(id, Packing::websocket);
}

TEST_F(AttachReplayTest, TheContainerEndsMeanwhile) {
  constexpr int last = 40000;
  for (int round = 0; round < rounds; ++round) {
    const std::string id = create({.command = {"sh", "-c", concat("seq 1 20000; read x; exec seq 20001 ", last)},
                                   .extra = {{"OpenStdin", true}, {"StdinOnce", true}, {"AttachStdin", true}}});
    HttpStream input = client().hijack("/containers/" + id + "/attach?stream=1&stdin=1");
    start(id);
    input.write("go\n");
    HttpStream stream = attach(id, Packing::frames);
    Sequence numbers;
    std::string bytes;
    while (numbers.last() < last) {
      const std::string piece = stream.read_some();
      ASSERT_FALSE(piece.empty()) << "round " << round << ": the stream ended at " << numbers.last();
      bytes += piece;
      numbers.feed(unpack(bytes, Packing::frames));
    }
    ASSERT_EQ(numbers.problem(), "") << "round " << round;
    ASSERT_EQ(numbers.count(), last) << "round " << round;
    remove(id);
  }
}

TEST_F(AttachReplayTest, AClientThatAttachesWhileAStartIsUnderWayGetsAll) {
  for (int round = 0; round < rounds; ++round) {
    const std::string id = create({.command = {"sh", "-c", "seq 1 3000; exec /payload pause"}});
    HttpStream starting = client().open("POST", "/containers/" + id + "/start");
    HttpStream stream = attach(id, Packing::frames);
    Sequence numbers;
    std::string bytes;
    while (numbers.last() < 3000) {
      const std::string piece = stream.read_some();
      ASSERT_FALSE(piece.empty()) << "round " << round << ": the stream ended at " << numbers.last();
      bytes += piece;
      numbers.feed(unpack(bytes, Packing::frames));
    }
    ASSERT_EQ(numbers.problem(), "") << "round " << round;
    ASSERT_EQ(numbers.count(), 3000) << "round " << round;
    remove(id);
  }
}

TEST_F(AttachReplayTest, AnEngineThatDiesInTheMiddleLeavesNoGap) {
  // More than a client that does not read takes: the replay cannot be over.
  const std::string id = run(
      {.command = {"sh", "-c", "seq 1 400000; echo ready; read x; seq 400001 500000"}, .extra = {{"OpenStdin", true}}});
  wait_ready(id);
  HttpStream stream = attach(id, Packing::frames);
  engine().restart();
  Sequence numbers;
  std::string bytes;
  for (std::string piece = stream.read_some(); !piece.empty(); piece = stream.read_some()) {
    bytes += piece;
    numbers.feed(unpack(bytes, Packing::frames));
  }
  EXPECT_EQ(numbers.problem(), "");
  EXPECT_LT(numbers.last(), 400000) << "the session ended with the engine that replayed";
  HttpStream input = client().hijack("/containers/" + id + "/attach?stream=1&stdin=1");
  input.write("go\n");
  HttpStream second = attach(id, Packing::frames);
  Sequence all;
  bytes.clear();
  while (all.last() < 500000) {
    const std::string piece = second.read_some();
    ASSERT_FALSE(piece.empty()) << "the stream ended at " << all.last();
    bytes += piece;
    all.feed(unpack(bytes, Packing::frames));
  }
  EXPECT_EQ(all.problem(), "");
  EXPECT_EQ(all.count(), 500000);
}

TEST_F(AttachReplayTest, AClientThatTakesNoReplayHoldsNoContainerUp) {
  const std::string id = run({.command = {"sh", "-c", "seq 1 400000; echo ready; exec /payload spew 90000000"}});
  wait_ready(id);
  HttpStream stuck = attach(id, Packing::frames);
  EXPECT_EQ(wait(id), 0);
}

}  // namespace
}  // namespace mydocker::test
