// SECURITY A2: archives that want too much are refused within the budgets, and the disk is given back.

#include <fcntl.h>
#include <sys/resource.h>

#include "engine/base/sys.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

class LimitsTest : public StoreFixture {
 protected:
  /// A store upon the same rows whose worker has these limits.
  std::unique_ptr<LayerStore> store_with(const UnpackLimits& limits) {
    return std::make_unique<LayerStore>(*database, paths, worker_options(limits));
  }

  /// Feeds `piece` `count` times; the error it ends with, or nothing.
  static std::optional<Error> feed(LayerStore& store, std::string_view head, std::string_view piece,
                                   std::size_t count) {
    const auto writer = store.begin();
    try {
      writer->write(head);
      for (std::size_t i = 0; i < count; ++i) writer->write(piece);
      writer->finish();
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  /// The worker's whole address space, code included: an unpack that succeeds with it needs no more.
  static UnpackLimits little_memory() {
    UnpackLimits limits;
    limits.worker_memory_bytes = 24 << 20;
    return limits;
  }

  static long own_peak_kilobytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  }
};

TEST_F(LimitsTest, TooManyEntriesAreRefused) {
  UnpackLimits limits;
  limits.entries = 1000;
  const auto small = store_with(limits);
  std::string files;
  for (int i = 0; i < 1001; ++i) files += TarBytes().file(concat("f", i), "").unfinished();
  const std::optional<Error> error = feed(*small, {}, files, 1);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::too_large);
  EXPECT_EQ(error->message(), "more than 1000 files in one layer");
  small->wait_for_deletions();
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(LimitsTest, AChainOfExtensionHeadersIsCounted) {
  UnpackLimits limits;
  limits.entries = 100;
  const std::optional<Error> error = feed(*store_with(limits), {}, TarBytes().gnu_long('L', "name").unfinished(), 300);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message(), "tar: too many headers");
}

TEST_F(LimitsTest, ATreeLargerThanAllowedIsRefused) {
  UnpackLimits limits;
  limits.tree_bytes = 1 << 20;
  const std::string file = TarBytes().file("f", std::string(600'000, 'x')).unfinished();
  const std::optional<Error> error = feed(*store_with(limits), {}, file, 2);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::too_large);
}

TEST_F(LimitsTest, AGigabyteOfPaddingNeedsNoMemory) {
  const std::string zeros(1 << 20, '\0');
  const long before = own_peak_kilobytes();
  EXPECT_FALSE(feed(*store_with(little_memory()), TarBytes().file("f", "x").finish(), zeros, 1024));
  EXPECT_LT(own_peak_kilobytes() - before, 32 * 1024);
}

TEST_F(LimitsTest, ManyDirectoriesNeedLittleMemory) {
  std::string files;
  for (int i = 0; i < 100; ++i) files += TarBytes().directory(concat("d", i)).unfinished();
  std::string all;
  for (int round = 0; round < 15; ++round) {
    for (int i = 0; i < 100; ++i) all += TarBytes().directory(concat("d", i, "/", round)).unfinished();
  }
  EXPECT_FALSE(feed(*store_with(little_memory()), files, all, 1));
}

TEST_F(LimitsTest, AnArchiveThatReplacesItselfForEverIsRefused) {
  UnpackLimits limits;
  limits.replaced_entries = 100;
  const auto small = store_with(limits);
  const std::optional<Error> error = feed(*small, {}, TarBytes().file("f", "content").unfinished(), 102);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message(), "too many members replace others");
  small->wait_for_deletions();
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(LimitsTest, AProgramThatIsNoWorkerIsAnError) {
  WorkerOptions options = worker_options();
  options.program = "/bin/sleep";  // takes no input and gives no answer
  LayerStore hanging(*database, paths, options);
  EXPECT_THROW_ERROR(hanging.begin()->finish(), ErrorKind::internal, "died");
}

}  // namespace
}  // namespace mydocker::storage::test
