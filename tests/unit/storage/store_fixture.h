#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/database.h"
#include "engine/base/mount.h"
#include "storage/layer_store.h"
#include "storage/paths.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::storage::test {

/// How the worker of this build is reached.
WorkerOptions worker_options(UnpackLimits limits = {});

/// A data-root of its own with a store in it.
class StoreFixture : public ::testing::Test {
 protected:
  void SetUp() override;

  /// Unpacks and commits a plain tar.
  Layer add_layer(std::string_view tar, const Digest& parent = {}, std::string_view owner = "image:test");
  /// The tar of a layer as the store rebuilds it.
  std::string read_tar(const Digest& chain_id);
  /// Absolute path of something in a layer's tree.
  std::string in_tree(const Layer& layer, std::string_view path) const;
  /// Names in tmp/ once the background deletions are done.
  std::vector<std::string> leftovers();

  mydocker::test::TempTree root;
  Paths paths{root.path() + "/data"};
  std::unique_ptr<Database> database;
  std::unique_ptr<LayerStore> store;
};

/// "type mode uid:gid size" and what a symlink says, or "absent".
std::string describe(const std::string& path);
/// The value, or "absent".
std::string xattr_of(const std::string& path, const char* name);
std::vector<std::string> names_in(const std::string& directory);
std::string content_of(const std::string& path);
/// Mounts the stack in a mount namespace of its own, runs the shell script in its root, returns what it wrote.
std::string run_in_stack(const OverlayMount& stack, const std::string& script);
/// Runs a program to its end; throws when it fails. Returns what it wrote.
std::string run(const std::vector<std::string>& command);

}  // namespace mydocker::storage::test
