#include "engine/base/log.h"

#include <gtest/gtest.h>

#include "engine/base/sys.h"
#include "tests/support/requirements.h"

namespace mydocker {
namespace {

std::string logged(void (*work)()) {
  Pipe pipe = make_pipe();
  log::set_output(pipe.write.get());
  work();
  log::set_output(2);
  log::set_level(log::Level::info);
  pipe.write.reset();
  return read_all(pipe.read.get(), 1 << 20, "pipe");
}

TEST(Log, ALineHasTimeLevelMessageAndPairs) {
  const std::string line = logged([] { log::info("container started", {{"container", "ab12"}, {"pid", 42}}); });
  EXPECT_TRUE(line.starts_with("time=\"20"));
  EXPECT_NE(line.find(" level=info msg=\"container started\" container=ab12 pid=42\n"), std::string::npos) << line;
}

TEST(Log, BelowTheLevelNothingIsWritten) {
  EXPECT_EQ(logged([] { log::debug("x"); }), "");
  EXPECT_EQ(logged([] {
              log::set_level(log::Level::error);
              log::warn("x");
            }),
            "");
}

TEST(Log, HostileBytesAreEscaped) {
  EXPECT_EQ(log::escape("a\n\x1b[31m\"b\\"), "\"a\\n\\x1b[31m\\\"b\\\\\"");
  EXPECT_EQ(log::escape("plain-word/1"), "plain-word/1");
  EXPECT_EQ(log::escape(""), "\"\"");
  EXPECT_EQ(log::escape("\xC2\x9B"
                        "31m")
                .find('\x9B'),
            std::string::npos);  // CSI of the C1 range
}

TEST(Log, LevelsAreReadInDockersWords) {
  EXPECT_EQ(log::parse_level("warn"), log::Level::warn);
  EXPECT_EQ(log::parse_level("fatal"), log::Level::off);
  EXPECT_THROW_ERROR(log::parse_level("loud"), ErrorKind::invalid_argument, "loud");
}

}  // namespace
}  // namespace mydocker
