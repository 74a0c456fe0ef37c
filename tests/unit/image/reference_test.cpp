#include "image/reference.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/requirements.h"

namespace mydocker::image {
namespace {

const std::string hex64(64, 'a');
const std::string digest = "sha256:" + hex64;

struct GoodName {
  std::string text;
  std::string repository;
  std::string tag;
  std::string familiar;
};

class GoodReference : public ::testing::TestWithParam<GoodName> {};

TEST_P(GoodReference, IsNormalised) {
  const GoodName& expected = GetParam();
  const Reference reference = Reference::parse(expected.text);
  EXPECT_EQ(reference.repository(), expected.repository);
  EXPECT_EQ(reference.tag(), expected.tag);
  EXPECT_EQ(reference.familiar(), expected.familiar);
  EXPECT_EQ(Reference::parse(reference.canonical()), reference);
  EXPECT_EQ(Reference::parse(reference.familiar()), reference);
}

INSTANTIATE_TEST_SUITE_P(
    Names, GoodReference,
    ::testing::Values(GoodName{"busybox", "docker.io/library/busybox", "", "busybox"},
                      GoodName{"busybox:1", "docker.io/library/busybox", "1", "busybox:1"},
                      GoodName{"library/busybox", "docker.io/library/busybox", "", "busybox"},
                      GoodName{"docker.io/busybox:1.36", "docker.io/library/busybox", "1.36", "busybox:1.36"},
                      GoodName{"index.docker.io/library/busybox", "docker.io/library/busybox", "", "busybox"},
                      GoodName{"team/app:v1", "docker.io/team/app", "v1", "team/app:v1"},
                      GoodName{"library/team/app", "docker.io/library/team/app", "", "library/team/app"},
                      GoodName{"localhost/app", "localhost/app", "", "localhost/app"},
                      GoodName{"localhost:5000/app:x", "localhost:5000/app", "x", "localhost:5000/app:x"},
                      GoodName{"127.0.0.1:5000/t/app", "127.0.0.1:5000/t/app", "", "127.0.0.1:5000/t/app"},
                      GoodName{"[::1]:5000/app", "[::1]:5000/app", "", "[::1]:5000/app"},
                      GoodName{"Registry/app", "Registry/app", "", "Registry/app"},
                      GoodName{"registry.example/a/b/c:1", "registry.example/a/b/c", "1", "registry.example/a/b/c:1"},
                      GoodName{"busybox@" + digest, "docker.io/library/busybox", "", "busybox@" + digest},
                      GoodName{"busybox:1@" + digest, "docker.io/library/busybox", "1", "busybox:1@" + digest},
                      GoodName{"a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g", "", "a__b/c--d/e.f_g"},
                      GoodName{"x:_A-.9", "docker.io/library/x", "_A-.9", "x:_A-.9"}));

struct BadName {
  std::string text;
  std::string message;
};

class BadReference : public ::testing::TestWithParam<BadName> {};

TEST_P(BadReference, IsRefusedWithDockersWords) {
  EXPECT_THROW_ERROR(Reference::parse(GetParam().text), ErrorKind::invalid_argument, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Names, BadReference,
    ::testing::Values(
        BadName{"", "invalid reference format"}, BadName{":tag", "invalid reference format"},
        BadName{"a//b", "invalid reference format"}, BadName{"-a", "invalid reference format"},
        BadName{"a..b", "invalid reference format"}, BadName{"a___b", "invalid reference format"},
        BadName{"a._b", "invalid reference format"}, BadName{"a/", "invalid reference format"},
        BadName{"/a", "invalid reference format"}, BadName{"a b", "invalid reference format"},
        BadName{"../../etc/passwd", "invalid reference format"}, BadName{"a/../b", "invalid reference format"},
        BadName{"a:b:c", "invalid reference format"}, BadName{"a:" + std::string(129, 'x'), "invalid reference format"},
        BadName{"a:.x", "invalid reference format"}, BadName{std::string("a\0b", 3), "invalid reference format"},
        BadName{"host:port/a", "invalid reference format"}, BadName{"-h.x/a", "invalid reference format"},
        BadName{"Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"},
        BadName{"a/B:1", "invalid reference format: repository name (a/B) must be lowercase"},
        BadName{hex64, "cannot specify 64-byte hexadecimal strings"},
        BadName{std::string(256, 'a'), "repository name must not be more than 255 characters"},
        BadName{"a@sha256:" + std::string(63, 'a'), "invalid checksum digest length"},
        BadName{"a@sha256:" + std::string(64, 'A'), "invalid checksum digest format"},
        BadName{"a@sha512:" + std::string(128, 'a'), "unsupported digest algorithm"},
        BadName{"a@md5:" + std::string(32, 'a'), "unsupported digest algorithm"},
        BadName{"a@sha256:../../../../../../../../../../etc/passwd/xxxxxxxxxxxx", "invalid reference format"},
        BadName{"a@", "invalid reference format"}, BadName{"a@sha256", "invalid reference format"}));

TEST(Reference, ApiFormTakesTagOrDigestApart) {
  EXPECT_EQ(Reference::parse("busybox", "1").familiar(), "busybox:1");
  EXPECT_EQ(Reference::parse("busybox:", "1").familiar(), "busybox:1");
  EXPECT_EQ(Reference::parse("busybox:2", "1").familiar(), "busybox:1");
  EXPECT_EQ(Reference::parse("busybox", digest).familiar(), "busybox@" + digest);
  EXPECT_EQ(Reference::parse("busybox:2", "").familiar(), "busybox:2");
  EXPECT_EQ(Reference::parse("busybox", "").familiar(), "busybox");
  EXPECT_THROW_ERROR(Reference::parse("busybox", "a/b"), ErrorKind::invalid_argument, "invalid tag format");
  EXPECT_THROW_ERROR(Reference::parse("scratch", "latest"), ErrorKind::invalid_argument,
                     "'scratch' is a reserved name");
}

TEST(Reference, DefaultTagIsForNamesWithoutOne) {
  EXPECT_EQ(Reference::parse("a").with_default_tag().familiar(), "a:latest");
  EXPECT_EQ(Reference::parse("a:1").with_default_tag().familiar(), "a:1");
  EXPECT_EQ(Reference::parse("a@" + digest).with_default_tag().familiar(), "a@" + digest);
}

TEST(Reference, IdsAreToldFromNames) {
  EXPECT_TRUE(is_image_id(hex64));
  EXPECT_TRUE(is_image_id(digest));
  EXPECT_FALSE(is_image_id(hex64.substr(1)));
  EXPECT_TRUE(is_id_prefix("d"));
  EXPECT_TRUE(is_id_prefix("sha256:de"));
  EXPECT_FALSE(is_id_prefix("g"));
  EXPECT_FALSE(is_id_prefix(""));
}

}  // namespace
}  // namespace mydocker::image
