#include "storage/tar_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <memory>

#include "engine/base/sys.h"
#include "storage/tar_tree.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t longest_xattr = 64 * 1024;  // the kernel's own limit (XATTR_SIZE_MAX)

struct Level {
  UniqueFd directory;
  std::string path;
  std::vector<std::string> names;
  std::size_t next = 0;
};

bool has_vanished(int errno_value) {
  return errno_value == ENOENT || errno_value == ENOTDIR || errno_value == ELOOP || errno_value == ENXIO;
}

}  // namespace

std::vector<std::string> list_directory(int directory) {
  UniqueFd own = open_at(directory, ".", O_RDONLY | O_DIRECTORY);  // an own offset
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(own.get()), ::closedir);
  if (!dir) throw sys_error("fdopendir");
  static_cast<void>(own.release());  // closedir closes it
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

UniqueFd open_entry(int parent, const std::string& name, int flags) {
  const int fd = retry_on_eintr(
      [&] { return ::openat(parent, name.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); });
  if (fd < 0 && !has_vanished(errno)) throw sys_error("open ", name);
  return UniqueFd(fd);
}

void walk_tree(int root, std::size_t longest_path, const std::function<Descend(const WalkEntry&)>& visit) {
  std::vector<Level> levels;
  levels.push_back(Level{open_at(root, ".", O_RDONLY | O_DIRECTORY), "", list_directory(root), 0});
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.next == level.names.size()) {
      levels.pop_back();
      continue;
    }
    const std::string name = std::move(level.names[level.next++]);
    struct stat status{};
    if (::fstatat(level.directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (has_vanished(errno)) continue;
      throw sys_error("stat ", name);
    }
    const std::string path = level.path.empty() ? name : concat(level.path, "/", name);
    if (path.size() > longest_path) {
      throw Error(ErrorKind::too_large, concat("\"", path.substr(0, 64), "...\": path too long"));
    }
    const WalkEntry entry{path, name, level.directory.get(), levels.size() - 1, status};
    if (visit(entry) == Descend::no || !S_ISDIR(status.st_mode)) continue;
    UniqueFd child = open_entry(level.directory.get(), name, O_RDONLY | O_DIRECTORY);
    if (!child) continue;
    std::vector<std::string> names = list_directory(child.get());
    levels.push_back(Level{std::move(child), path, std::move(names), 0});
  }
}

std::string read_xattr(int fd, const char* name) {
  std::string value(longest_xattr, '\0');
  const ssize_t length = ::fgetxattr(fd, name, value.data(), value.size());
  value.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  return value;
}

std::vector<std::pair<std::string, std::string>> portable_xattrs(int fd) {
  std::vector<std::pair<std::string, std::string>> out;
  if (::flistxattr(fd, nullptr, 0) <= 0) return out;
  std::string list(longest_xattr, '\0');
  const ssize_t length = ::flistxattr(fd, list.data(), list.size());
  if (length <= 0) return out;
  std::string_view rest(list.data(), static_cast<std::size_t>(length));
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (is_portable_xattr(name)) out.emplace_back(name, read_xattr(fd, name.c_str()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool is_whiteout(const struct stat& status) { return S_ISCHR(status.st_mode) && status.st_rdev == 0; }

bool is_opaque(int directory) { return read_xattr(directory, "trusted.overlay.opaque") == "y"; }

const std::string* HardLinks::find_or_remember(const struct stat& status, const std::string& path) {
  if (S_ISDIR(status.st_mode) || status.st_nlink < 2) return nullptr;
  const auto [found, is_new] = paths_.try_emplace({status.st_dev, status.st_ino}, path);
  return is_new ? nullptr : &found->second;
}

}  // namespace mydocker::storage
