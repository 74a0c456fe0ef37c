#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/process.h"
#include "runtime/task.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::runtime {

/// Runs real containers of a busybox rootfs in a cgroup of its own; skips without root or busybox.
class TaskTest : public ::testing::Test {
 protected:
  struct Result {
    int code = -1;       ///< as a shell counts
    std::string output;  ///< stdout and stderr
  };

  void SetUp() override;
  void TearDown() override;

  /// The example spec with `sh -c script`, no terminal, a writable root.
  TaskOptions make_options(const std::string& script);
  /// Create, start, wait. LaunchErrors come through.
  Result run(TaskOptions options);
  Result run(const std::string& script) { return run(make_options(script)); }
  /// Starts it and leaves it running until TearDown.
  Task& start(TaskOptions options);
  /// An exec into the container of start().
  Result exec(const ExecOptions& options);
  ExecOptions make_exec(const std::string& script);

  std::string rootfs() const { return tree_->path("rootfs"); }
  const test::TempTree& tree() const { return *tree_; }
  Cgroup& cgroup() { return *cgroup_; }

 private:
  std::unique_ptr<test::TempTree> tree_;
  std::optional<Cgroup> cgroup_;
  std::optional<Task> running_;
};

}  // namespace mydocker::runtime
