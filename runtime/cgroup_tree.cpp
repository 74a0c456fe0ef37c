#include "runtime/cgroup_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr mode_t directory_mode = 0755;
/// How often a parent may vanish under our hands, taken away by the end of another container, before we give up.
constexpr int most_attempts = 1000;
constexpr const char* mark_names[] = {"trusted.mydocker.parent", "user.mydocker.parent"};

const std::string controllers_file = "cgroup.controllers";
const std::string subtree_file = "cgroup.subtree_control";

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using DirectoryHandle = std::unique_ptr<DIR, CloseDirectory>;

DirectoryHandle list_directory(int dir) {
  UniqueFd own = open_at(dir, ".", O_RDONLY | O_DIRECTORY);
  DirectoryHandle handle(::fdopendir(own.get()));
  if (!handle) throw sys_error("list a cgroup directory");
  (void)own.release();
  return handle;
}

/// Without a mark (no rights, a file system that has none) the directory stays for good.
void mark(int dir) {
  for (const char* name : mark_names) {
    if (::fsetxattr(dir, name, "", 0, 0) == 0) return;
  }
}

bool is_marked(int dir) {
  return std::any_of(std::begin(mark_names), std::end(mark_names),
                     [&](const char* name) { return ::fgetxattr(dir, name, nullptr, 0) >= 0; });
}

/// Its directory went while it was looked at.
bool is_gone(int errno_value) { return errno_value == ENOENT || errno_value == ENODEV; }

/// cpuset starts empty on v1, and an empty set takes no process: copy what the parent has. false: it has nothing.
bool inherit_cpuset(int parent, int child) {
  for (const char* name : {"cpuset.cpus", "cpuset.mems"}) {
    const auto own = find_file_at(child, name);
    if (!own || !trim(*own).empty()) continue;
    const std::string above = trim(read_file_at(parent, name));
    if (above.empty()) return false;
    write_kernel_file_at(child, name, above);
  }
  return true;
}

/// Children of the new directory then inherit its cpuset without writes of ours.
void hand_cpuset_down(int dir) {
  const auto clones = find_file_at(dir, "cgroup.clone_children");
  if (clones && trim(*clones) == "0") write_kernel_file_at(dir, "cgroup.clone_children", "1");
}

/// Hands every controller of `dir` on to its children. A refusal shows later, when the limit's file is missing.
void enable_controllers(int dir) {
  const auto available = find_file_at(dir, controllers_file);
  const auto enabled = find_file_at(dir, subtree_file);
  if (!available || !enabled) return;
  const std::vector<std::string> have = split(trim(*enabled), ' ');
  for (const std::string& name : split(trim(*available), ' ')) {
    if (std::find(have.begin(), have.end(), name) != have.end()) continue;
    try {
      write_kernel_file_at(dir, subtree_file, "+" + name);
    } catch (const Error&) {  // one that cannot be delegated must not cost us the others
    }
  }
}

/// One walk down. `all_cpusets`: also of the directories that were there. An empty handle: somebody took a parent away,
/// or has only just made one and not yet filled it; try again.
UniqueFd walk_down(int top, const std::vector<std::string>& parts, bool v2, bool cpuset, bool all_cpusets) {
  UniqueFd current = open_at(top, ".", O_RDONLY | O_DIRECTORY);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool is_parent = i + 1 < parts.size();
    const bool made = ::mkdirat(current.get(), parts[i].c_str(), directory_mode) == 0;
    if (!made && is_gone(errno)) return {};
    if (!made && errno != EEXIST) throw sys_error("mkdir cgroup ", parts[i]);
    if (made && v2) enable_controllers(current.get());
    UniqueFd next = find_at(current.get(), parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!next) return {};
    if (made && is_parent) mark(next.get());
    if (cpuset && (made || all_cpusets)) {
      if (!inherit_cpuset(current.get(), next.get())) return {};
      if (made && is_parent) hand_cpuset_down(next.get());
    }
    current = std::move(next);
  }
  return current;
}

/// false: busy.
bool remove_below(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || is_gone(errno)) return true;
  if (errno != EBUSY && errno != ENOTEMPTY) throw sys_error("rmdir cgroup ", name);
  const UniqueFd dir = find_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) return true;
  bool all = true;
  for (const std::string& child : subdirectories(dir.get())) all = remove_below(dir.get(), child) && all;
  return all && (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || is_gone(errno));
}

}  // namespace

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string trim(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::vector<std::string> subdirectories(int dir) {
  std::vector<std::string> names;
  const DirectoryHandle handle = list_directory(dir);
  while (const dirent* entry = ::readdir(handle.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

UniqueFd make_cgroup_directories(int top, const std::vector<std::string>& parts, bool v2, bool cpuset) {
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    try {
      UniqueFd made = walk_down(top, parts, v2, cpuset, attempt > 0);
      if (made) return made;
    } catch (const Error& error) {
      if (!is_gone(error.errno_value())) throw;
    }
  }
  throw Error(ErrorKind::internal, concat("mkdir cgroup ", parts.back(), ": a parent vanishes again and again"));
}

bool remove_cgroup_directories(int top, const std::vector<std::string>& parts) {
  std::vector<UniqueFd> parents;
  parents.push_back(open_at(top, ".", O_RDONLY | O_DIRECTORY));
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    UniqueFd next = find_at(parents.back().get(), parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!next) break;  // what is below is gone with it
    parents.push_back(std::move(next));
  }
  if (parents.size() == parts.size() && !remove_below(parents.back().get(), parts.back())) return false;
  for (std::size_t i = parents.size() - 1; i > 0; --i) {
    struct stat status{};
    const bool in_use = ::fstat(parents[i].get(), &status) == 0 && status.st_nlink > 2;  // it has directories
    if (in_use || !is_marked(parents[i].get())) break;
    if (::unlinkat(parents[i - 1].get(), parts[i - 1].c_str(), AT_REMOVEDIR) != 0 && !is_gone(errno)) break;
  }
  return true;
}

}  // namespace mydocker::runtime
