#include "runtime/shim/detach_keys.h"

#include <gtest/gtest.h>

namespace mydocker::shim {
namespace {

using Result = DetachKeys::Result;

TEST(DetachKeys, TheSequenceIsFoundAcrossReadsAndNotPassedOn) {
  DetachKeys keys("\x10\x11");
  std::string out;
  EXPECT_EQ(keys.feed("ls\n\x10", out), Result::pass);
  EXPECT_EQ(out, "ls\n");
  EXPECT_EQ(keys.feed("\x11", out), Result::detached);
  EXPECT_EQ(out, "ls\n");
}

TEST(DetachKeys, APartialMatchIsWithheldAndThenForwarded) {
  DetachKeys keys("\x10\x11");
  std::string out;
  keys.feed("\x10", out);
  EXPECT_EQ(out, "");
  EXPECT_EQ(keys.feed("a", out), Result::pass);
  EXPECT_EQ(out,
            "\x10"
            "a");
}

TEST(DetachKeys, ARepeatedFirstKeyStillMatches) {
  DetachKeys keys("aab");
  std::string out;
  EXPECT_EQ(keys.feed("aaab", out), Result::detached);
  EXPECT_EQ(out, "a");
}

TEST(DetachKeys, WithoutKeysEverythingPasses) {
  DetachKeys keys("");
  std::string out;
  EXPECT_EQ(keys.feed("\x10\x11", out), Result::pass);
  EXPECT_EQ(out, "\x10\x11");
}

TEST(DetachKeys, TheEndOfTheInputReleasesWhatWasWithheld) {
  DetachKeys keys("abc");
  std::string out;
  keys.feed("xab", out);
  EXPECT_EQ(out, "x");
  EXPECT_EQ(keys.take_withheld(), "ab");
  EXPECT_EQ(keys.take_withheld(), "");
}

}  // namespace
}  // namespace mydocker::shim
