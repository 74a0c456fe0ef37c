#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/bundle.h"
#include "runtime/cgroup.h"
#include "runtime/hooks.h"
#include "runtime/oci/command_line.h"

/// What this program remembers of a container between two calls.
///
///   <root>/<id>/           0700
///     state.json           the record below, replaced atomically
///     config.json          the spec it was created from
///     start                the socket that `start` connects to; gone once it was started
///     notify/              with a NOTIFY_SOCKET: bound to /run/notify in the container
///   <root>/.filters@/      compiled seccomp programs (runtime/filter_cache.h); no container's ID has such a character
namespace mydocker::oci {

enum class Status { creating, created, running, paused, stopped };
std::string_view to_string(Status status);

struct Record {
  std::string id;
  std::string bundle;
  std::string rootfs;
  std::string cgroup_path;
  std::string created;  ///< RFC 3339
  std::string owner;
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< of pid, in clock ticks since boot: a recycled pid is not ours (SECURITY R21)
  bool started = false;

  static constexpr auto json_fields() {
    return std::tuple(field("id", &Record::id), field("bundle", &Record::bundle), field("rootfs", &Record::rootfs),
                      field("cgroupPath", &Record::cgroup_path), field("created", &Record::created),
                      field("owner", &Record::owner), field("pid", &Record::pid),
                      field("startTime", &Record::start_time), field("started", &Record::started));
  }
};

/// A container's directory and record. One process at a time changes it.
class Container {
 public:
  /// Reserves the ID. Throws Error{invalid_argument} for a bad one, Error{conflict} for one in use.
  static Container reserve(const GlobalOptions& options, const std::string& id);
  /// Throws Error{not_found} "container "x" does not exist".
  static Container open(const GlobalOptions& options, const std::string& id);
  static std::vector<std::string> list(const GlobalOptions& options);

  Record& record() { return record_; }
  const Record& record() const { return record_; }
  const std::string& directory() const { return directory_; }
  std::string start_socket() const { return directory_ + "/start"; }
  /// nullopt: its creation did not get that far.
  std::optional<runtime::Spec> find_spec() const;
  runtime::Spec spec() const { return runtime::read_bundle(directory_); }
  void save_spec(const runtime::Spec& spec) const { runtime::write_bundle(directory_, spec); }
  void save() const;
  Status status() const;
  runtime::State state() const;
  /// Throws Error{not_found} when its process has ended.
  UniqueFd open_process() const;
  runtime::Cgroup cgroup() const { return runtime::Cgroup::open(record_.cgroup_path); }
  /// Cgroups first, the directory last: what is left after a crash can still be deleted.
  void remove();

 private:
  std::string directory_;
  Record record_;
};

/// <root>/.filters@
std::string filter_directory(const GlobalOptions& options);

/// Field 22 of /proc/<pid>/stat, and whether the process is a zombie; 0 when it is gone.
std::uint64_t read_start_time(pid_t pid, bool* zombie = nullptr);

}  // namespace mydocker::oci
