#include "engine/mount_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

std::vector<PlannedMount> plan(api::StringList binds) {
  api::HostConfig host;
  host.binds = std::move(binds);
  return plan_mounts(host, {});
}

std::string message_of(const api::HostConfig& host, const api::ContainerConfig& config = {}) {
  try {
    plan_mounts(host, config);
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

TEST(MountPlan, ABindKeepsItsOptions) {
  const auto mounts = plan({"/srv:/data:ro,rslave"});
  ASSERT_EQ(mounts.size(), 1U);
  EXPECT_EQ(mounts[0].kind, PlannedMount::Kind::bind);
  EXPECT_EQ(mounts[0].source, "/srv");
  EXPECT_EQ(mounts[0].target, "/data");
  EXPECT_TRUE(mounts[0].read_only);
  EXPECT_EQ(mounts[0].propagation, "rslave");
  EXPECT_TRUE(mounts[0].create_source);
}

TEST(MountPlan, ANameIsAVolume) {
  const auto mounts = plan({"vol:/data"});
  EXPECT_EQ(mounts[0].kind, PlannedMount::Kind::volume);
  EXPECT_EQ(mounts[0].source, "vol");
}

TEST(MountPlan, BadSpecificationsAreRefusedInDockersWords) {
  const auto refused = [](const std::string& bind) {
    api::HostConfig host;
    host.binds = api::StringList{bind};
    return message_of(host);
  };
  EXPECT_EQ(refused("/a:/b:zz"), "invalid mode: zz");
  EXPECT_THAT(refused("./x:/b"), testing::HasSubstr("includes invalid characters for a local volume name"));
  EXPECT_THAT(refused("/a:b"), testing::HasSubstr("mount path must be absolute"));
  EXPECT_THAT(refused("/a:/"), testing::HasSubstr("destination can't be '/'"));
  EXPECT_EQ(refused("/a:/b:ro,rw"), "invalid mode: ro,rw");
  EXPECT_THAT(refused("nothing"), testing::HasSubstr("invalid volume specification"));
}

TEST(MountPlan, TwoMountsOnOneTargetAreRefused) {
  api::HostConfig host;
  host.binds = api::StringList{"/a:/x", "/b:/x/"};
  EXPECT_EQ(message_of(host), "Duplicate mount point: /x");
}

TEST(MountPlan, MountsOfTheWrongShapeAreRefused) {
  api::HostConfig host;
  host.mounts = {api::Mount{.type = "bind", .source = "/srv", .target = ""}};
  EXPECT_EQ(message_of(host), "invalid mount config for type \"bind\": field Target must not be empty");
  host.mounts = {api::Mount{.type = "tmpfs", .source = "/srv", .target = "/t"}};
  EXPECT_THAT(message_of(host), testing::HasSubstr("field Source must not be specified"));
  host.mounts = {api::Mount{.type = "npipe", .source = "/srv", .target = "/t"}};
  EXPECT_THAT(message_of(host), testing::HasSubstr("mount type unknown"));
  host.mounts = {api::Mount{.type = "bind", .source = "srv", .target = "/t"}};
  EXPECT_THAT(message_of(host), testing::HasSubstr("mount path must be absolute"));
}

TEST(MountPlan, TmpfsIsNoexecUnlessAskedOtherwise) {
  api::HostConfig host;
  host.tmpfs = {{"/run", "size=64m,mode=1777"}, {"/exec", "exec"}};
  const auto mounts = plan_mounts(host, {});
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_THAT(mounts[0].tmpfs_options, testing::Contains("exec"));
  EXPECT_THAT(mounts[0].tmpfs_options, testing::Not(testing::Contains("noexec")));
  EXPECT_THAT(mounts[1].tmpfs_options, testing::IsSupersetOf({"size=64m", "mode=1777", "noexec", "nosuid", "nodev"}));
}

TEST(MountPlan, ParentsComeBeforeChildren) {
  const auto mounts = plan({"/a:/x/y/z", "/b:/x", "/c:/x/y"});
  EXPECT_EQ(mounts[0].target, "/x");
  EXPECT_EQ(mounts[1].target, "/x/y");
  EXPECT_EQ(mounts[2].target, "/x/y/z");
}

TEST(MountPlan, InspectListsBindsButNotTmpfsEntries) {
  api::HostConfig host;
  host.binds = api::StringList{"/srv:/data:ro"};
  host.tmpfs = {{"/run", ""}};
  const auto points = list_mount_points(plan_mounts(host, {}), "/volumes");
  ASSERT_EQ(points.size(), 1U);
  EXPECT_EQ(points[0].type, "bind");
  EXPECT_EQ(points[0].mode, "ro");
  EXPECT_FALSE(points[0].read_write);
  EXPECT_EQ(points[0].propagation, "rprivate");
}

}  // namespace
}  // namespace mydocker::engine
