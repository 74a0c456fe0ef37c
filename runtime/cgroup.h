#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"
#include "runtime/cgroup_stats.h"
#include "runtime/placeholder.h"
#include "runtime/spec_resources.h"

/// Control groups of both versions: one path below every hierarchy (man 7 cgroups; kernel admin-guide/cgroup-v1,
/// cgroup-v2). Names are paths ("/mydocker/<id>": made here, the cgroupfs driver) or scopes of systemd
/// ("slice:prefix:name", runtime/systemd.h: the systemd driver, which makes them and knows their limits).
/// All functions block on the kernel, those that make, limit or remove a scope on systemd as well. One thread at a time
/// per object; errors are Error{internal} that names the file, Error{invalid_argument} for a limit that the kernel
/// refuses.
namespace mydocker::runtime {

inline constexpr std::string_view default_cgroup_root = "/sys/fs/cgroup";
inline constexpr std::string_view default_cgroup_parent = "/mydocker";

enum class CgroupMode {
  v1,      ///< controllers in hierarchies of their own
  hybrid,  ///< v1 controllers, and a v2 tree at <root>/unified for the rest
  v2,      ///< one tree
};

/// One mounted hierarchy below the cgroup root.
struct CgroupHierarchy {
  std::string directory;                 ///< name below the root: "memory", "cpu,cpuacct", "unified"; "" in v2
  std::vector<std::string> controllers;  ///< v1: from the name; v2: read from cgroup.controllers
  bool v2 = false;

  bool has(std::string_view controller) const;
};

/// What is mounted at a cgroup root; found by looking at the files there, so any directory can stand in.
struct CgroupLayout {
  std::string root;
  CgroupMode mode = CgroupMode::v1;
  std::vector<CgroupHierarchy> hierarchies;

  /// Throws Error{internal} when nothing is mounted there.
  static CgroupLayout detect(const std::string& root = std::string(default_cgroup_root));
  bool has(std::string_view controller) const;
};

/// A cgroup in every hierarchy: a directory handle each. Move-only; destroying it removes nothing.
class Cgroup {
 public:
  /// Makes the scope, kept up by a placeholder process until there is another one (see joined()), and what directories
  /// are missing; or, for a path, all directories (parents too, with controllers enabled on v2 and cpuset filled in on
  /// v1; runtime/cgroup_tree.h); existing ones are taken as they are. A path is absolute within each hierarchy, without
  /// ".." parts. For single-threaded callers.
  static Cgroup create(const std::string& path, const std::string& root = std::string(default_cgroup_root));
  /// The hierarchies in which it exists. Throws Error{not_found} when it exists in none.
  static Cgroup open(const std::string& path, const std::string& root = std::string(default_cgroup_root));
  /// After another runtime has put `pid` in: the hierarchies in which it has done so. The directories of the others are
  /// removed. Throws Error{not_found} when there are none.
  void keep_where(pid_t pid);
  /// The cgroup of a process, from /proc/<pid>/cgroup.
  static Cgroup open_of_process(pid_t pid, const std::string& root = std::string(default_cgroup_root));

  /// The calling, single-threaded process goes into the cgroup `name`, which is made when there is none: for helpers
  /// that live apart from the containers.
  static void enter(const std::string& name, const std::string& root = std::string(default_cgroup_root));

  /// Within each hierarchy, also of a scope: "/system.slice/mydocker-<id>.scope".
  const std::string& path() const noexcept { return path_; }
  CgroupMode mode() const noexcept { return layout_.mode; }
  const CgroupLayout& layout() const noexcept { return layout_; }

  /// Writes the limits that are present, converted to the version of each controller; device rules too.
  /// A limit whose controller is not there is Error{invalid_argument} (SECURITY R28). Idempotent; also for live
  /// updates.
  void apply(const Resources& resources);
  /// What of apply() must stand before the first process is in, and returns the rest for apply(): the device rules,
  /// which v1 takes line by line (the first refuses every device), and of a scope all, as systemd writes them itself.
  Resources apply_before_first_process(Resources resources);
  /// What apply() ignored by rule ("kernel memory limits do not exist any more"), for whoever prints warnings.
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }

  /// The calling, single-threaded process puts itself in. On v1 it writes "0" to `tasks`: alone among the ways in, that
  /// takes no lock that waits for an RCU grace period (0.2 ms for nine hierarchies instead of 7-15).
  /// `born_in_v2`: clone3(CLONE_INTO_CGROUP) has already put it into v2_fd().
  void join(bool born_in_v2) const;
  /// A process of the container is in: the placeholder of a scope may go.
  void joined() noexcept { placeholder_ = {}; }
  /// Moves another process in; slow on v1 (see join).
  void add_process(pid_t pid) const;
  /// The v2 directory for CLONE_INTO_CGROUP, or -1.
  int v2_fd() const noexcept;

  /// The v2 cgroup below this one in which a process lives. A container that manages cgroups itself has moved its
  /// processes down, and the kernel lets none into the top any more (EBUSY). Throws Error{internal} outside of it.
  UniqueFd open_v2_of(pid_t pid) const;

  /// Blocks until every process in it stands still; throws Error{internal} after 10 s, thawed again. By the freezer of
  /// version 2 where its directory is there (hybrid hosts, too): it tells when it is done. The v1 freezer tells nobody:
  /// it is asked every millisecond.
  void freeze();
  void thaw();
  bool frozen() const;
  /// SIGKILL to every process in it: cgroup.kill, or on v1 each of them under the freezer.
  void kill_all();
  /// Pids in it and in its descendants.
  std::vector<pid_t> processes() const;
  bool empty() const;
  CgroupStats stats() const;
  /// How many processes the OOM killer took here so far.
  std::uint64_t oom_kill_count() const;

  /// Removes the directories, descendants included, and the scope; also the parents that create() has made, for
  /// whichever cgroup, when this was the last one below them. Waits for processes that are still exiting (at most
  /// `timeout_ms`): on cgroup.events where a v2 directory is there (a process leaves all hierarchies at once), else on
  /// pidfds and then, as a process leaves its v1 cgroups a little after its pidfd tells of its end, every millisecond.
  /// Absence is fine. Throws Error{internal} when it stays busy.
  void remove(int timeout_ms = 10000);

 private:
  friend class OomWatch;
  struct Directory {
    std::size_t hierarchy = 0;  ///< index into layout_.hierarchies
    UniqueFd fd;
  };

  Cgroup() = default;
  const Directory* find_controller(std::string_view controller) const;
  /// The directory of the controller; throws Error{invalid_argument} naming `limit` when there is none.
  const Directory& require_controller(std::string_view controller, std::string_view limit) const;
  bool is_v2(const Directory& directory) const { return layout_.hierarchies[directory.hierarchy].v2; }
  void set_frozen(bool frozen);
  bool set_frozen_v1(int freezer, bool frozen);
  bool has_v2_freezer() const;
  void wait_for_exits(int timeout_ms) const;
  void remove_scope();
  bool remove_directories();
  void apply_memory(const Memory& memory);
  void apply_cpu(const Cpu& cpu);
  void apply_pids(const Pids& pids);
  void apply_block_io(const BlockIo& block_io);
  void apply_hugepages(const std::vector<HugepageLimit>& limits);
  void apply_network(const NetworkClass& network);
  void apply_devices(const std::vector<DeviceRule>& rules);
  void apply_unified(const std::map<std::string, std::string>& files);

  CgroupLayout layout_;
  std::string path_;
  std::string unit_;  ///< of systemd; "": none
  Placeholder placeholder_;
  std::vector<Directory> directories_;
  std::vector<std::string> warnings_;
};

/// Tells when the OOM killer was at work in a cgroup: v1 an eventfd on memory.oom_control, v2 inotify on memory.events.
/// systemd removes a scope, and the counter, as soon as its last process has ended, often before anybody can read it:
/// of a scope the kernel's log is read as well, whose record of the kill is older than the end of the victim. (The
/// kernel writes at most ten of these in five seconds; where the log may not be read, the counter alone counts.)
/// For an event loop: wait until fd() is readable, call read(). Move-only, one thread; reads block on the kernel only.
class OomWatch {
 public:
  /// nullopt when the cgroup has no memory controller.
  static std::optional<OomWatch> start(const Cgroup& cgroup);

  int fd() const noexcept { return fd_.get(); }
  /// Empties fd(); true when processes were killed since the last call.
  bool read();
  /// How many it has killed in the cgroup's life, as far as read() has seen.
  std::uint64_t kills() const noexcept { return seen_; }

 private:
  OomWatch() = default;
  UniqueFd fd_;
  UniqueFd counter_;     ///< memory.oom_control or memory.events
  UniqueFd kernel_log_;  ///< of a scope: from the watch's start on
  std::string path_;     ///< of the cgroup, as the kernel writes it
  std::uint64_t logged_ = 0;
  std::uint64_t seen_ = 0;
};

/// Whether a record of /dev/kmsg tells of the kill of a process in the cgroup `path` or below it. Records that a
/// process has written are not believed. Pure.
bool is_oom_record(std::string_view record, std::string_view path);

}  // namespace mydocker::runtime
