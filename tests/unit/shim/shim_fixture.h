#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/unique_fd.h"
#include "runtime/shim_client.h"
#include "runtime/spec.h"
#include "tests/support/temp_tree.h"

namespace mydocker::test {

/// A busybox root file system, a directory for a shim, a cgroup of its own; everything is gone after the test. Tests
/// say what runs, start it, and ask for what came out.
class ShimTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// `sh -c script` with its own namespaces, the default seccomp profile and the busybox applets.
  void set_script(const std::string& script) { spec.process.args = {"/bin/sh", "-c", script}; }
  /// Writes the bundle and spawns the shim.
  void spawn();
  /// spawn, create, start.
  void run();
  /// A client that is attached now: its end of the connection.
  UniqueFd attach(runtime::AttachRequest request);
  runtime::ExecRequest make_exec(const std::string& id, const std::string& script) const;
  UniqueFd exec(const runtime::ExecRequest& request, int* pid = nullptr);

  /// Reads events until one of this type comes; fails the test after 20 s.
  runtime::ShimEvent wait_event(const std::string& type);
  /// Waits for `exit` and `finished`, and for the end of the shim.
  runtime::ExitRecord wait_exit();
  /// Waits until the shim process is gone.
  void wait_shim_end();
  /// Everything up to the end of the stream; fails the test after 20 s.
  static std::string read_to_end(int fd);
  /// Until `text` was received.
  static std::string read_until(int fd, const std::string& text);
  /// The payloads of stdcopy frames of one stream.
  static std::string unframe(const std::string& frames, int stream);
  /// The texts of all records, rotated files included.
  std::string read_log() const;

  TempTree tree;
  runtime::Spec spec;
  runtime::ShimConfig config;
  runtime::ShimClient shim;
  UniqueFd events;
  std::string shim_dir;
  std::string cgroup_parent;
};

}  // namespace mydocker::test
