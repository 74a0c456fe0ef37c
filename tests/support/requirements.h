#pragma once

#include <gtest/gtest.h>

#include <string>

#include "engine/base/error.h"

/// What a test needs from the machine. A test that misses it skips and says why; `contrib/test` counts the skips.
namespace mydocker::test {

bool is_root();
/// Can this process make mount and network namespaces (root in a sandbox often cannot)?
bool can_make_namespaces();
/// Can it make user namespaces (never in a chroot; man 2 unshare, EPERM)?
bool can_make_user_namespaces();
/// Absolute path of a program on PATH; empty when there is none.
std::string find_program(const std::string& name);

}  // namespace mydocker::test

#define REQUIRE_ROOT() \
  if (!::mydocker::test::is_root()) GTEST_SKIP() << "needs root"

#define REQUIRE_NAMESPACES() \
  if (!::mydocker::test::can_make_namespaces()) GTEST_SKIP() << "needs the right to make namespaces"

#define REQUIRE_USER_NAMESPACES() \
  if (!::mydocker::test::can_make_user_namespaces()) GTEST_SKIP() << "needs user namespaces"

#define REQUIRE_PROGRAM(name) \
  if (::mydocker::test::find_program(name).empty()) GTEST_SKIP() << "needs the program " << (name)

/// The statement throws Error of this kind, and its message contains `text`.
#define EXPECT_THROW_ERROR(statement, expected_kind, text)                                                \
  try {                                                                                                   \
    statement;                                                                                            \
    ADD_FAILURE() << #statement " did not throw";                                                         \
  } catch (const ::mydocker::Error& error) {                                                              \
    EXPECT_EQ(::mydocker::to_string(error.kind()), ::mydocker::to_string(expected_kind)) << error.what(); \
    EXPECT_NE(error.message().find(text), std::string::npos) << error.what();                             \
  }
