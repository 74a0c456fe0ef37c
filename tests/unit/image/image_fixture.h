#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/database.h"
#include "image/image_store.h"
#include "image/progress.h"
#include "storage/layer_store.h"
#include "storage/paths.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::image::test {

std::string gzip(std::string_view data);
std::string zstd(std::string_view data);
/// What a program makes of its standard input. Throws when it fails.
std::string filter_through(const std::vector<std::string>& command, std::string_view input);
/// Runs a program to its end; throws with its output when it fails.
std::string run(const std::vector<std::string>& command);

/// An unnamed file at its beginning.
class TempFile {
 public:
  explicit TempFile(std::string_view content = "");
  int fd() const { return file_.get(); }
  /// Everything in it, whatever the position.
  std::string content() const;
  void rewind() const;

 private:
  UniqueFd file_;
};

using Files = std::vector<std::pair<std::string, std::string>>;
/// A plain tar; a name that ends in "/" is a directory.
std::string make_tar(const Files& files);

/// An image in memory.
struct TestImage {
  std::string config;
  std::vector<std::string> layers;  ///< plain tars, bottom first
  Digest id() const { return sha256_of(config); }
};
TestImage make_image(std::vector<std::string> layers, const std::vector<std::string>& changes = {"CMD [\"sh\"]"},
                     std::string_view architecture = host_architecture());
/// Three layers, some files each.
TestImage three_layer_image();
/// manifest.json and files, as docker save wrote before version 25.
std::string make_docker_archive(const TestImage& image, const std::vector<std::string>& tags);

/// Collects progress lines; thread-safe.
class Lines {
 public:
  ProgressSink sink();
  std::vector<ProgressMessage> all() const;
  /// "id: status" or the stream text.
  std::vector<std::string> texts() const;
  bool contains(std::string_view text) const;
  std::size_t count(std::string_view status) const;

 private:
  mutable std::mutex mutex_;
  std::vector<ProgressMessage> messages_;
};

/// A data-root with a layer store and an image store.
class StoreFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  /// As after a crash of the engine: everything anew on the same data-root.
  void restart();

  Image add(const TestImage& image, const std::vector<std::string>& names = {}, const Digest& parent = {});
  std::string read_layer(const Digest& chain_id);
  /// Layers, images and files in tmp: "" when there are none.
  std::string leftovers();

  mydocker::test::TempTree root;
  storage::Paths paths{root.path() + "/data"};
  std::unique_ptr<Database> database;
  std::unique_ptr<storage::LayerStore> layers;
  std::unique_ptr<ImageStore> images;
};

}  // namespace mydocker::image::test
