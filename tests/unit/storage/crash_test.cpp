// Whatever step fails or dies, the next start finds a store without anything half-made (DESIGN 3.2, 3.9).

#include "engine/base/process.h"
#include "engine/base/sys.h"
#include "storage/container_layers.h"
#include "storage/volume_store.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

class CrashTest : public StoreFixture {
 protected:
  /// Runs storage_steps with these failpoints; what it printed, or "killed".
  std::string run_steps(const std::string& failpoints) {
    Pipe pipe = make_pipe();
    SpawnOptions options;
    options.program = MYDOCKER_STEPS_PROGRAM;
    options.arguments = {"storage_steps", paths.data_root()};
    options.environment = {"MYDOCKER_FAILPOINTS=" + failpoints};
    options.fds = {{pipe.write.get(), 1}, {2, 2}};
    Process process = Process::spawn(options);
    pipe.write.reset();
    const std::string out = read_all(pipe.read.get(), 1 << 20, "steps");
    return process.wait().signal == 9 ? "killed" : out;
  }

  /// What an engine does at its start; then nothing but the initial state may be there.
  void expect_clean_after_recovery() {
    store->recover();
    {
      ContainerLayers containers(*store, paths, worker_options());
      containers.recover({});
      VolumeStore volumes(*database, paths, worker_options());
      volumes.recover();
      for (const Volume& volume : volumes.list()) volumes.remove(volume.name);
    }
    store->release_owner("container:" + std::string(64, 'c'));
    store->release_owner("image:x");
    store->recover();
    EXPECT_TRUE(store->list().empty());
    EXPECT_TRUE(names_in(paths.layers()).empty());
    EXPECT_TRUE(names_in(paths.containers()).empty());
    EXPECT_TRUE(names_in(paths.volumes()).empty());
    EXPECT_TRUE(leftovers().empty());
  }
};

constexpr const char* points[] = {"layer.begin",      "worker.spawn",
                                  "worker.isolated",  "unpack.entry",
                                  "unpack.finish",    "layer.write",
                                  "layer.finish",     "layer.renamed",
                                  "storage.sync",     "layer.synced",
                                  "database.commit",  "layer.released",
                                  "trash.discard",    "container.create_directories",
                                  "volume.recorded",  "volume.copied",
                                  "volume.forgotten", "container.remove_directories"};

TEST_F(CrashTest, WithoutFailpointsTheStepsSucceed) {
  EXPECT_EQ(run_steps(""), "done\n");
  expect_clean_after_recovery();
}

TEST_F(CrashTest, AnErrorAtAnyStepIsCleanedUp) {
  for (const char* point : points) {
    for (const int pass : {1, 2}) {
      SCOPED_TRACE(concat(point, " ", pass));
      const std::string out = run_steps(concat(point, "=error@", pass));
      if (pass == 1) EXPECT_NE(out.find("failpoint"), std::string::npos) << out;
      expect_clean_after_recovery();
    }
  }
}

TEST_F(CrashTest, AKillAtAnyStepIsCleanedUp) {
  for (const char* point : points) {
    SCOPED_TRACE(point);
    const std::string out = run_steps(concat(point, "=kill@2"));
    EXPECT_TRUE(out == "killed" || out == "done\n" || out.find("died") != std::string::npos) << out;
    expect_clean_after_recovery();
  }
}

TEST_F(CrashTest, AFullDiskInTheMiddleOfALayerIsNamed) {
  EXPECT_NE(run_steps("unpack.entry=nospace@2").find("internal 28: "), std::string::npos);
  expect_clean_after_recovery();
}

/// A file system of a few megabytes, in a mount namespace of its own.
class SmallDiskTest : public CrashTest {
 protected:
  std::string run_on(const std::string& mount_command, const std::string& size) {
    const mydocker::test::TempTree disk{{"mnt/", ""}};
    return run({"unshare", "-m", "sh", "-e", "-c",
                concat("cd ", disk.path(), "; ", mount_command, " mnt; ", MYDOCKER_STEPS_PROGRAM, " ", disk.path(),
                       "/mnt/data ", size,
                       "; sleep 0.2; find mnt/data/layers mnt/data/containers mnt/data/tmp -mindepth 1 | wc -l")});
  }
};

TEST_F(SmallDiskTest, ALayerThatDoesNotFitLeavesNothing) {
  const std::string out = run_on("mount -t tmpfs -o size=8m tmpfs", "20000000");
  EXPECT_EQ(out.substr(0, 13), "internal 28: ") << out;
  EXPECT_NE(out.find("No space left on device"), std::string::npos) << out;
  EXPECT_EQ(out.substr(out.size() - 2), "0\n") << out;
}

TEST_F(SmallDiskTest, ALayerThatFitsIsFine) {
  EXPECT_EQ(run_on("mount -t tmpfs -o size=8m tmpfs", "1000000").substr(0, 5), "done\n");
}

}  // namespace
}  // namespace mydocker::storage::test
