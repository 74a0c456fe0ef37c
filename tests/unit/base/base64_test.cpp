#include "engine/base/base64.h"

#include <gtest/gtest.h>

namespace mydocker {
namespace {

TEST(Base64, RoundTripInBothAlphabets) {
  for (const char* text : {"", "a", "ab", "abc", "abcd", "\xFF\xFE\xFD"}) {
    EXPECT_EQ(decode_base64(encode_base64(text)), text);
    EXPECT_EQ(decode_base64(encode_base64url(text)), text);
  }
  EXPECT_EQ(encode_base64("ab?"), "YWI/");
  EXPECT_EQ(encode_base64url("ab?"), "YWI_");
  EXPECT_EQ(encode_base64("ab"), "YWI=");
}

TEST(Base64, PaddingAndLineBreaksMayBeMissingOrThere) {
  EXPECT_EQ(decode_base64("YWI"), "ab");
  EXPECT_EQ(decode_base64("YW\r\nI=\n"), "ab");
}

TEST(Base64, JunkIsRefused) {
  for (const char* text : {"a", "YWJjZ", "YW I=", "YW=I", "\xFFYWI"}) EXPECT_EQ(decode_base64(text), std::nullopt);
}

}  // namespace
}  // namespace mydocker
