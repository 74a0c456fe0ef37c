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
  EXPECT_THAT(refused("./x:/b"), testing::StartsWith("create ./x: \"./x\" includes invalid characters for a local"));
  EXPECT_EQ(refused("x:/b"),
            "create x: volume name is too short, names should be at least two alphanumeric characters");
  EXPECT_THAT(refused("/a:b"), testing::HasSubstr("mount path must be absolute"));
  EXPECT_THAT(refused("/a:/"),
              testing::StrEq("invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid "
                             "specification: destination can't be '/'"));
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

TEST(MountPlan, VolumesFromHasAModeOfItsOwn) {
  EXPECT_EQ(parse_volumes_from("web").container, "web");
  EXPECT_FALSE(parse_volumes_from("web:rw,z").read_only);
  EXPECT_TRUE(parse_volumes_from("web:ro").read_only);
  EXPECT_THROW(parse_volumes_from("web:zz"), Error);
  EXPECT_THROW(parse_volumes_from("web:ro,rw"), Error);
  EXPECT_THROW(parse_volumes_from(":ro"), Error);
}

TEST(MountPlan, WhatIsNamedCoversWhatIsInherited) {
  std::vector<PlannedMount> donor = plan({"/a:/one", "vol:/two", "/c:/three"});
  const auto inherited = inherit_mounts(donor, true);
  api::HostConfig host;
  host.binds = api::StringList{"/mine:/two"};
  const auto mounts = plan_mounts(host, {}, inherited);
  ASSERT_EQ(mounts.size(), 3U);
  for (const PlannedMount& mount : mounts) {
    EXPECT_EQ(mount.read_only, mount.target != "/two") << mount.target;
    if (mount.target == "/two") EXPECT_EQ(mount.source, "/mine");
  }
}

TEST(MountPlan, AnInheritedMountSurvivesItsRow) {
  const auto inherited = inherit_mounts(plan({"vol:/two:ro"}), false);
  const auto read = from_json<PlannedMount>(to_json(inherited.front()));
  EXPECT_EQ(read.kind, PlannedMount::Kind::volume);
  EXPECT_EQ(read.source, "vol");
  EXPECT_TRUE(read.read_only);
  EXPECT_TRUE(read.no_copy);
}

TEST(MountPlan, ASubpathStaysBelowItsVolume) {
  const auto with_subpath = [](const std::string& subpath) {
    api::Mount mount;
    mount.type = "volume";
    mount.source = "vol";
    mount.target = "/t";
    mount.volume_options.emplace();
    mount.volume_options->subpath = subpath;
    api::HostConfig host;
    host.mounts = {mount};
    return host;
  };
  EXPECT_EQ(plan_mounts(with_subpath("a/./b/../c"), {}).front().subpath, "a/c");
  for (const char* bad : {"/abs", "..", "a/../../b", "../a"}) {
    EXPECT_NE(message_of(with_subpath(bad)).find("subpath must be a relative path"), std::string::npos) << bad;
  }
}

}  // namespace
}  // namespace mydocker::engine
