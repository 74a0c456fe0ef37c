#include "runtime/mount_options.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "tests/support/requirements.h"

namespace mydocker::runtime {
namespace {

MountOptions parse(std::vector<std::string> options, std::string type = "tmpfs") {
  return parse_mount_options({"/x", std::move(type), "", std::move(options), {}, {}});
}

TEST(MountOptions, FlagsBecomeAttributesAndTheRestParameters) {
  const MountOptions options = parse({"ro", "nosuid", "nodev", "noexec", "mode=755", "size=64k", "newinstance"});
  EXPECT_EQ(options.set, std::uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
  EXPECT_EQ(options.parameters, (MountParameters{{"mode", "755"}, {"size", "64k"}, {"newinstance", ""}}));
}

/// config-linux.md "mountLabel". What no kernel takes as an option is left out.
TEST(MountOptions, AMountLabelIsAContextOfNewFileSystems) {
  const auto labelled = [](const char* type, const char* label, MountParameters parameters = {}) {
    add_mount_label(parameters, type, label);
    return parameters;
  };
  const char* label = "system_u:object_r:container_file_t:s0:c715,c811";
  for (const char* type : {"tmpfs", "devpts", "ext4"}) {
    EXPECT_EQ(labelled(type, label, {{"mode", "755"}}), (MountParameters{{"mode", "755"}, {"context", label}})) << type;
  }
  for (const char* type : {"proc", "sysfs", "mqueue"}) EXPECT_EQ(labelled(type, label), MountParameters{}) << type;
  EXPECT_EQ(labelled("tmpfs", ""), MountParameters{});
  EXPECT_EQ(labelled("tmpfs", label, {{"context", "mine"}}), (MountParameters{{"context", "mine"}}));
}

TEST(MountOptions, TheLastWordWins) {
  EXPECT_EQ(parse({"ro", "rw"}).set & MOUNT_ATTR_RDONLY, 0U);
  EXPECT_EQ(parse({"ro", "rw"}).clear & MOUNT_ATTR_RDONLY, std::uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(parse({"rw", "ro"}).clear & MOUNT_ATTR_RDONLY, 0U);
  EXPECT_EQ(parse({"noatime", "strictatime"}).set, std::uint64_t{MOUNT_ATTR_STRICTATIME});
}

TEST(MountOptions, BindsPropagationAndRecursiveFlags) {
  const MountOptions options = parse({"rbind", "rro", "rslave"}, "");
  EXPECT_TRUE(options.bind);
  EXPECT_TRUE(options.recursive_bind);
  EXPECT_EQ(options.set_recursive, std::uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(options.set, 0U);
  EXPECT_EQ(options.propagation, std::uint64_t{MS_SLAVE});
  EXPECT_TRUE(options.propagation_recursive);
  EXPECT_FALSE(parse({"private"}).propagation_recursive);
}

TEST(MountOptions, ABindTakesNoParameters) {
  EXPECT_THROW_ERROR(parse({"size=5"}, "bind"), ErrorKind::invalid_argument, "size");
}

}  // namespace
}  // namespace mydocker::runtime
