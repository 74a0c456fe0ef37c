#include "runtime/capabilities.h"

#include <gtest/gtest.h>

#include "runtime/spec.h"

#include "tests/support/requirements.h"

namespace mydocker::runtime {
namespace {

TEST(Capabilities, NamesAreFoundWithAndWithoutPrefixInAnyCase) {
  EXPECT_EQ(find_capability("CAP_CHOWN"), 0U);
  EXPECT_EQ(find_capability("chown"), 0U);
  EXPECT_EQ(find_capability("cap_Sys_Admin"), 21U);
  EXPECT_EQ(find_capability("CHECKPOINT_RESTORE"), 40U);
  EXPECT_EQ(find_capability("CAP_NOPE"), std::nullopt);
  EXPECT_EQ(find_capability(""), std::nullopt);
}

TEST(Capabilities, EveryNameMapsBackToItsNumber) {
  const auto names = all_capabilities();
  ASSERT_EQ(names.size(), 41U);
  for (unsigned i = 0; i < names.size(); ++i) {
    EXPECT_EQ(find_capability(names[i]), i);
    EXPECT_EQ(capability_name(i), names[i]);
  }
  EXPECT_EQ(capability_name(41), "");
}

TEST(Capabilities, AnUnknownNameIsRefused) {
  EXPECT_THROW_ERROR(capability_mask({"CAP_CHOWN", "CAP_BOGUS"}), ErrorKind::invalid_argument, "CAP_BOGUS");
}

TEST(Capabilities, TheDefaultSetIsTheFourteenOfDocker) {
  EXPECT_EQ(capability_mask(make_default_capabilities()), 0xa80425fbU);
}

TEST(Capabilities, AbsentSetsAreEmpty) {
  const CapabilitySets sets = parse_capabilities(std::nullopt);
  EXPECT_EQ(sets.bounding | sets.effective | sets.permitted | sets.inheritable | sets.ambient, 0U);
}

}  // namespace
}  // namespace mydocker::runtime
