#include "cli/stream.h"

#include <gtest/gtest.h>

#include <csignal>

namespace mydocker::cli {
namespace {

std::string frame(char stream, std::string_view payload) {
  std::string out(8, '\0');
  out[0] = stream;
  out[6] = static_cast<char>(payload.size() >> 8);
  out[7] = static_cast<char>(payload.size() & 0xff);
  return out + std::string(payload);
}

std::string decode(std::string_view bytes, std::size_t step) {
  FrameDecoder decoder;
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    decoder.feed(bytes.substr(at, step), [&](int stream, std::string_view piece) {
      for (const char c : piece) out += stream == 2 ? static_cast<char>(std::toupper(c)) : c;
    });
  }
  return out;
}

TEST(Frames, AreSplitWhereverTheBytesWereCut) {
  const std::string bytes = frame(1, "hello ") + frame(2, "error ") + frame(1, "") + frame(1, std::string(300, 'x'));
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{9}, bytes.size()}) {
    EXPECT_EQ(decode(bytes, step), "hello ERROR " + std::string(300, 'x')) << step;
  }
}

TEST(Frames, TypeThreeIsTheEnginesError) {
  try {
    decode(frame(3, "log driver failed"), 4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "error from daemon in stream: log driver failed");
  }
}

TEST(Frames, OtherBytesAreRefused) { EXPECT_THROW(decode("this is no frame", 16), Error); }

TEST(Signals, ArriveAsEvents) {
  SignalQueue queue(SignalQueue::Kind::forward);
  ::raise(SIGUSR1);
  EXPECT_EQ(queue.take(), SIGUSR1);
  EXPECT_EQ(queue.take(), 0);
  EXPECT_EQ(signal_name(SIGTERM), "TERM");
}

}  // namespace
}  // namespace mydocker::cli
