#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/json.h"
#include "tests/support/command.h"
#include "tests/support/programs.h"
#include "tests/support/requirements.h"
#include "tests/support/surroundings.h"

namespace mydocker::test {

/// mydocker-runtime alone, as its callers see it: a bundle with busybox and the payload, a state directory and a
/// cgroup parent of the test's own. The last assertion of each test is that nothing is left of either.
class RuntimeTest : public ::testing::Test {
 protected:
  using Words = std::vector<std::string>;

  void SetUp() override;
  void TearDown() override;

  const std::string& root() const { return surroundings_->root(); }
  std::string bundle() const { return root() + "/bundle"; }
  std::string rootfs() const { return bundle() + "/rootfs"; }
  std::string state_root() const { return root() + "/state"; }
  std::string log_file() const { return root() + "/log"; }
  const std::string& cgroup_parent() const { return surroundings_->cgroup_parent(); }

  /// What `mydocker-runtime spec` writes, without terminal, with a writable root, running `sh -c script`.
  json::value make_config(const std::string& script);
  /// The same, running these words.
  json::value make_config_for(const Words& words);
  void write_config(const json::value& config);
  /// Writes a file and gives its absolute path; `path` is relative to root().
  std::string write_file(const std::string& path, const std::string& content, unsigned mode = 0644);
  std::string read(const std::string& path);

  /// mydocker-runtime --root STATE --log LOG WORDS...
  CommandResult runtime(const Words& words, CommandOptions options = {});
  Words runtime_words(const Words& words) const;
  /// Writes the config and runs it to its end in the foreground, in the bundle directory.
  CommandResult run(const json::value& config, const Words& flags = {});
  CommandResult run(const char* script) { return run(make_config(script)); }
  /// Creates a container; its output goes to root()/out.
  void create(const json::value& config, const std::string& id = "one", const Words& flags = {});
  /// Creates and starts a container in the background.
  void start(const json::value& config, const std::string& id = "one", const Words& flags = {});
  /// What it has written so far.
  std::string output();
  CommandResult exec(const std::string& script, const Words& flags = {}, const std::string& id = "one");
  std::string status(const std::string& id = "one");
  pid_t pid(const std::string& id = "one");
  void delete_forced(const std::string& id = "one");
  /// One line on stderr that holds `text`, the same in the log, exit code 1, and nothing left.
  void expect_refused(const CommandResult& result, const std::string& text);

  /// Directories of the state root and cgroups below the parent: what a failed call must not leave behind.
  std::string leftovers() const;
  /// The same, once everything that is ending has ended.
  std::string wait_for_leftovers() const;
  static bool eventually(const std::function<bool()>& condition);

 private:
  std::unique_ptr<Surroundings> surroundings_;
  json::value example_;
};

/// Access to members without the noise: edit(config, "process", "user")["uid"] = 5.
json::object& edit(json::value& config, std::string_view member);
json::object& edit(json::value& config, std::string_view member, std::string_view below);
void add_mount(json::value& config, const std::string& destination, const std::string& type, const std::string& source,
               const std::vector<std::string>& options);
void add_namespace(json::value& config, const std::string& type, const std::string& path = "");
void remove_namespace(json::value& config, const std::string& type);

}  // namespace mydocker::test
