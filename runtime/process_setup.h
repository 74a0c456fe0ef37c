#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/launch_error.h"
#include "runtime/seccomp.h"
#include "runtime/spec.h"
#include "runtime/sync.h"
#include "runtime/task.h"
#include "runtime/user.h"

/// From a finished root to execve: what the init stage and the exec stage have in common. Runs inside the container's
/// root, single-threaded; nothing here uses NSS, locale or a program of the image (SECURITY R4).
namespace mydocker::runtime {

/// RLIMIT_* of "RLIMIT_NOFILE".
std::optional<int> find_rlimit(std::string_view type);

/// What a container process needs beside its rootfs.
struct Launch {
  Process process;
  Identity identity;
  std::optional<Seccomp> seccomp;
  FilterProgram filter;  ///< of `seccomp`
  std::vector<std::string> requested_rlimits;
  std::string container_id;
  std::string program;  ///< found by find_program()
  bool join_keyring = false;
  bool die_with_parent = true;
};

/// Resolves the user below `root`, adds HOME, chooses and compiles the filter. Throws LaunchError.
Launch prepare_launch(int root, const Process& process, const std::string& user,
                      const std::vector<std::string>& group_add, bool resolve_home);
void prepare_filter(Launch& launch, const std::optional<Seccomp>& seccomp, bool use_default,
                    const std::optional<FilterProgram>& compiled);

/// Makes the working directory below `root` if it is missing, owned by the user (SECURITY R1).
void make_working_directory(int root, const Launch& launch);
/// Changes into it, once all foreign descriptors are closed, and proves that it lies below the root (CVE-2024-21626).
void enter_working_directory(const Launch& launch);
/// Looks args[0] up as execvp(3) would. Throws LaunchError with Docker's words and codes (WIRE 23).
std::string find_program(const Process& process);

/// The process's descriptors: 0-2 from `stdio` (-1: `null_fd`), `preserve` as 3, 4, ..., and what `keep` points to
/// moved behind them, close-on-exec. Everything else is closed (SECURITY R5).
void arrange_descriptors(const Stdio& stdio, int null_fd, const std::vector<int>& preserve,
                         const std::vector<int*>& keep);
/// Signal mask and handlers as a fresh process has them, death with the parent if asked for. Not a word about dumps: an
/// ordinary user's runtime still has to write the id maps, and the files of an undumpable process belong to root.
void reset_process_state(bool die_with_parent);
/// A file of a pipe or of the own terminal belongs to the user, so that /dev/stdout can be opened again.
void own_standard_streams(const Launch& launch, bool terminal);

/// Limits, keyring, priorities, filter, ids, capabilities, execve, in the order that the kernel dictates. Announces
/// Sync::executing. Throws LaunchError or Error.
[[noreturn]] void execute(const Launch& launch, SyncSocket& sync);

}  // namespace mydocker::runtime
