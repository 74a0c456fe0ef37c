// What a hostile image or container can do to those who copy from it: nothing of it runs or is loaded on the engine's
// behalf (SECURITY C1), and no link of it leads a volume to the host (C3). The swapped paths of C2 are
// archive_test.cpp's.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

/// Sees files being opened, and being opened for execution, by any process (fanotify(7)).
class FileWatch {
 public:
  FileWatch() : fd_(::fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC)) {}
  explicit operator bool() const { return static_cast<bool>(fd_); }
  bool add(const std::string& path) {
    return ::fanotify_mark(fd_.get(), FAN_MARK_ADD, FAN_OPEN | FAN_OPEN_EXEC, AT_FDCWD, path.c_str()) == 0;
  }
  /// What happened since the last call: "open PATH" and "execute PATH".
  std::vector<std::string> take() {
    std::vector<std::string> out;
    alignas(fanotify_event_metadata) std::array<char, 16384> buffer;
    ssize_t got = 0;
    while ((got = ::read(fd_.get(), buffer.data(), buffer.size())) > 0) {
      const auto* event = reinterpret_cast<const fanotify_event_metadata*>(buffer.data());
      for (; FAN_EVENT_OK(event, got); event = FAN_EVENT_NEXT(event, got)) {
        const UniqueFd file(event->fd);
        std::array<char, 4096> name{};
        const ssize_t size = ::readlink(concat("/proc/self/fd/", file.get()).c_str(), name.data(), name.size() - 1);
        out.push_back(concat((event->mask & FAN_OPEN_EXEC) != 0 ? "execute " : "open ",
                             std::string_view(name.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)))));
      }
    }
    return out;
  }

 private:
  UniqueFd fd_;
};

/// What helpers of a copying engine would look up by name, and what a loader or the C library loads unasked.
constexpr const char* programs[] = {"usr/bin/xz",   "usr/bin/unxz", "usr/bin/unpigz",   "usr/bin/pigz",
                                    "usr/bin/zstd", "usr/bin/tar",  "usr/bin/gzip",     "usr/bin/bzip2",
                                    "usr/bin/ps",   "usr/sbin/xz",  "usr/local/bin/tar"};
constexpr const char* loaded[] = {"etc/ld.so.preload",
                                  "etc/ld.so.cache",
                                  "etc/nsswitch.conf",
                                  "evil.so",
                                  "lib/x86_64-linux-gnu/libnss_files.so.2",
                                  "lib/x86_64-linux-gnu/libnss_dns.so.2",
                                  "lib/x86_64-linux-gnu/libc.so.6",
                                  "usr/lib/x86_64-linux-gnu/gconv/gconv-modules",
                                  "usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
                                  "usr/lib/locale/locale-archive"};

class HostileCopyTest : public DaemonTest {
 protected:
  /// Its programs say that they ran, in a directory that is there on the host and in the image.
  void load_hostile() {
    marks_ = scratch("marks");
    make_dirs(marks_);
    TarBuilder layer;
    for (const char* path : programs) layer.file(path, concat("#!/bin/sh\necho $0 >> ", marks_, "/ran\n"), 0755);
    for (const char* path : loaded) layer.file(path, "/evil.so\n", 0755);
    layer.file(marks_.substr(1) + "/here", "");
    load({.name = "hostile:latest", .layers = {base_layer(), layer.finish()}, .config = {}});
    take_snapshot();
  }
  static std::string archive_url(const std::string& id, const std::string& path) {
    return "/containers/" + id + "/archive?path=" + path;
  }
  /// Every way of copying that must look at none of them.
  void copy_both_ways(const std::string& id) {
    const std::string tar = TarBuilder().file("uploaded", "x").finish();
    for (const char* tool : {"cat", "gzip", "bzip2", "xz", "zstd"}) {
      const std::string packed = run_command({tool, "-c"}, {.input = tar}).out;
      const std::string body = std::string_view(tool) == "cat" ? tar : packed;
      const Response put =
          client().request("PUT", archive_url(id, "/tmp"), body, {{"Content-Type", "application/x-tar"}});
      EXPECT_EQ(put.status, 200) << tool << ": " << put.body;
    }
    EXPECT_EQ(client().get(archive_url(id, "/tmp")).status, 200);
    EXPECT_EQ(client().get(archive_url(id, "/etc/passwd")).status, 200);
    EXPECT_EQ(client().request("HEAD", archive_url(id, "/usr/bin")).status, 200);
    EXPECT_EQ(client().get("/containers/" + id + "/changes").status, 200);
  }
  void expect_nothing_ran(const std::string& id) {
    EXPECT_FALSE(path_exists(marks_ + "/ran")) << read_file(marks_ + "/ran");
    EXPECT_EQ(client().get(archive_url(id, marks_ + "/ran")).status, 404);
  }

  std::string marks_;
};

TEST_F(HostileCopyTest, NothingOfTheContainerIsOpenedOrRunByThoseWhoCopy) {
  load_hostile();
  const std::string id = run({.image = "hostile", .command = {"/payload", "pause"}});
  FileWatch watch;
  if (!watch) GTEST_SKIP() << "needs fanotify";
  const std::string inside = concat("/proc/", pid_of(id), "/root/");
  for (const char* path : programs) ASSERT_TRUE(watch.add(inside + path)) << path;
  for (const char* path : loaded) ASSERT_TRUE(watch.add(inside + path)) << path;

  copy_both_ways(id);
  EXPECT_EQ(client().get("/containers/" + id + "/top?ps_args=-ef").status, 200);
  EXPECT_EQ(client().get("/containers/" + id + "/stats?stream=0&one-shot=1").status, 200);
  EXPECT_THAT(watch.take(), testing::IsEmpty());

  // These read every file, and execute none.
  EXPECT_EQ(client().get("/containers/" + id + "/export").status, 200);
  EXPECT_EQ(client().post("/commit?container=" + id + "&repo=hostile-copy").status, 201);
  EXPECT_EQ(client().get(archive_url(id, "/usr/bin")).status, 200);
  const std::vector<std::string> read = watch.take();
  EXPECT_THAT(read, testing::Each(testing::StartsWith("open ")));
  expect_nothing_ran(id);

  // The watch sees what there is to see.
  EXPECT_EQ(exec(id, {"cat", "/evil.so"}).out, "/evil.so\n");
  EXPECT_THAT(watch.take(),
              testing::Contains(testing::AllOf(testing::StartsWith("open "), testing::EndsWith("evil.so"))));
  exec(id, {"/usr/bin/xz"});
  EXPECT_THAT(watch.take(),
              testing::Contains(testing::AllOf(testing::StartsWith("execute "), testing::EndsWith("xz"))));
  EXPECT_EQ(client().get(archive_url(id, marks_ + "/ran")).status, 200);
  EXPECT_EQ(client().remove("/images/hostile-copy").status, 200);
}

TEST_F(HostileCopyTest, NothingOfAStoppedContainerIsRunByThoseWhoCopy) {
  load_hostile();
  const std::string id = create({.image = "hostile", .command = {"/payload", "exit", "0"}});
  copy_both_ways(id);
  start(id);
  EXPECT_EQ(wait(id), 0);
  copy_both_ways(id);
  EXPECT_EQ(client().get("/containers/" + id + "/export").status, 200);
  EXPECT_EQ(client().post("/commit?container=" + id + "&repo=hostile-copy").status, 201);
  expect_nothing_ran(id);
  EXPECT_EQ(client().remove("/images/hostile-copy").status, 200);
}

TEST_F(HostileCopyTest, AnImagesVolumeBehindALinkIsFilledFromTheImageAlone) {
  const std::string outside = scratch("host");
  make_dirs(outside + "/vol");
  write_all(open_file(outside + "/secret", O_WRONLY | O_CREAT, 0644).get(), "HOST SECRET\n");
  write_all(open_file(outside + "/vol/secret", O_WRONLY | O_CREAT, 0644).get(), "HOST SECRET\n");
  struct Case {
    const char* name;
    std::string layer;
    const char* seen;  ///< in /data/vol
  };
  const Case cases[] = {
      {"above it", TarBuilder().symlink("data", outside).finish(), ""},
      {"upwards", TarBuilder().symlink("data", "../../../../../.." + outside).finish(), ""},
      {"itself", TarBuilder().directory("data").symlink("data/vol", outside).finish(), ""},
      {"none: the benign twin", TarBuilder().directory("data").directory("data/vol").file("data/vol/kept", "").finish(),
       "kept\n"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    load({.name = "volume:latest",
          .layers = {base_layer(), each.layer},
          .config = {{"Volumes", json::object{{"/data/vol", json::object{}}}}}});
    const Outcome outcome =
        run_to_end({.image = "volume",
                    .command = {"sh", "-c", "ls /data/vol; cat /data/secret /data/vol/secret; touch /data/vol/mark"}});
    EXPECT_EQ(outcome.out, each.seen) << outcome.err;
    EXPECT_FALSE(path_exists(outside + "/mark"));
    EXPECT_FALSE(path_exists(outside + "/vol/mark"));
    EXPECT_EQ(client().remove("/images/volume").status, 200);
  }
}

}  // namespace
}  // namespace mydocker::test
