#include "engine/base/digest.h"

#include <gtest/gtest.h>

#include "tests/support/requirements.h"

namespace mydocker {
namespace {

constexpr const char* empty_digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Digest, KnownVectors) {
  EXPECT_EQ(sha256_of("").text(), empty_digest);
  EXPECT_EQ(sha256_of("abc").text(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, PiecesAndReuseGiveTheSameDigest) {
  Sha256 hash;
  hash.update("a");
  hash.update("bc");
  EXPECT_EQ(hash.finish(), sha256_of("abc"));
  EXPECT_EQ(hash.finish().text(), empty_digest);
}

TEST(Digest, OnlyExactSha256IsAccepted) {
  const std::string hex(64, 'a');
  EXPECT_NO_THROW(Digest::parse("sha256:" + hex));
  for (const std::string& text : {std::string(), hex, "sha256:" + hex + "a", "sha256:" + hex.substr(1), "SHA256:" + hex,
                                  "sha512:" + hex + hex, "sha256:" + std::string(64, 'A'), "sha256:../" + hex.substr(3),
                                  "sha256:" + hex.substr(1) + "/", "sha256:" + hex.substr(1) + std::string(1, '\0')}) {
    EXPECT_FALSE(Digest::is_valid(text)) << text;
    EXPECT_THROW_ERROR(Digest::parse(text), ErrorKind::invalid_argument, "invalid digest");
  }
}

TEST(Digest, HexFormsHaveNoAlgorithm) {
  const Digest digest = sha256_of("abc");
  EXPECT_EQ(digest.hex().size(), 64U);
  EXPECT_EQ(digest.short_hex(), "ba7816bf8f01");
  EXPECT_EQ(Digest().hex(), "");
}

}  // namespace
}  // namespace mydocker
