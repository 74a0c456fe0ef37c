#include "storage/tar_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <array>
#include <string>
#include <vector>

#include "engine/base/sys.h"
#include "storage/tar_walk.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t copy_bytes = 256 * 1024;
constexpr std::size_t longest_path = 4096;

std::array<timespec, 2> times_of(const struct stat& status) { return {status.st_mtim, status.st_mtim}; }

/// Owner first: it clears setuid and capabilities.
void copy_attributes(int to, int from, const struct stat& status, const std::string& path) {
  if (::fchown(to, status.st_uid, status.st_gid) != 0) throw sys_error("chown ", path);
  if (::fchmod(to, status.st_mode & 07777) != 0) throw sys_error("chmod ", path);
  for (const auto& [name, value] : portable_xattrs(from)) {
    if (::fsetxattr(to, name.c_str(), value.data(), value.size(), 0) != 0 && errno != ENOTSUP) {
      throw sys_error("\"", path, "\": set xattr ", name);
    }
  }
  if (::futimens(to, times_of(status).data()) != 0) throw sys_error("set times of ", path);
}

class TreeCopier {
 public:
  explicit TreeCopier(int target) : buffer_(copy_bytes) {
    levels_.push_back(Level{open_at(target, ".", O_RDONLY | O_DIRECTORY), UniqueFd(), {}, {}});
  }

  Descend visit(const WalkEntry& entry) {
    leave_to(entry.depth + 1);
    const int to = levels_.back().directory.get();
    const char* name = entry.name.c_str();
    const mode_t mode = entry.status.st_mode;
    if (S_ISSOCK(mode)) return Descend::no;
    if (S_ISDIR(mode)) return enter(entry);
    if (const std::string* first = links_.find_or_remember(entry.status, entry.path)) {
      if (::linkat(levels_.front().directory.get(), first->c_str(), to, name, 0) != 0) {
        throw sys_error("link ", entry.path);
      }
      return Descend::no;
    }
    if (S_ISREG(mode)) {
      copy_file(entry, to);
      return Descend::no;
    }
    if (S_ISLNK(mode)) {
      std::string text(static_cast<std::size_t>(entry.status.st_size) + 1, '\0');
      const ssize_t length = ::readlinkat(entry.parent, name, text.data(), text.size());
      if (length < 0) throw sys_error("readlink ", entry.path);
      text.resize(static_cast<std::size_t>(length));
      if (::symlinkat(text.c_str(), to, name) != 0) throw sys_error("symlink ", entry.path);
    } else if (::mknodat(to, name, mode & (S_IFMT | 0777), entry.status.st_rdev) != 0) {
      throw sys_error("mknod ", entry.path);
    }
    const UniqueFd made = open_beneath(to, entry.name, O_PATH | O_NOFOLLOW);
    if (::fchownat(made.get(), "", entry.status.st_uid, entry.status.st_gid, AT_EMPTY_PATH) != 0 ||
        ::utimensat(made.get(), "", times_of(entry.status).data(), AT_EMPTY_PATH) != 0) {
      throw sys_error("set attributes of ", entry.path);
    }
    return Descend::no;
  }

  void finish() { leave_to(1); }

 private:
  struct Level {
    UniqueFd directory;  ///< in the target
    UniqueFd source;
    struct stat status{};
    std::string path;
  };

  Descend enter(const WalkEntry& entry) {
    UniqueFd source = open_entry(entry.parent, entry.name, O_RDONLY | O_DIRECTORY);
    if (!source) return Descend::no;
    const int to = levels_.back().directory.get();
    if (::mkdirat(to, entry.name.c_str(), 0700) != 0) throw sys_error("mkdir ", entry.path);
    levels_.push_back(
        Level{open_beneath(to, entry.name, O_RDONLY | O_DIRECTORY), std::move(source), entry.status, entry.path});
    return Descend::yes;
  }

  /// A directory gets its attributes when its content is complete: children would change its time.
  void leave_to(std::size_t count) {
    while (levels_.size() > count) {
      const Level& level = levels_.back();
      copy_attributes(level.directory.get(), level.source.get(), level.status, level.path);
      levels_.pop_back();
    }
  }

  void copy_file(const WalkEntry& entry, int to) {
    const UniqueFd in = open_entry(entry.parent, entry.name, O_RDONLY);
    if (!in) return;
    const UniqueFd out = open_at(to, entry.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    for (;;) {
      const ssize_t got = retry_on_eintr([&] { return ::read(in.get(), buffer_.data(), buffer_.size()); });
      if (got < 0) throw sys_error("read ", entry.path);
      if (got == 0) break;
      write_all(out.get(), std::string_view(buffer_.data(), static_cast<std::size_t>(got)));
    }
    copy_attributes(out.get(), in.get(), entry.status, entry.path);
  }

  std::vector<Level> levels_;
  HardLinks links_;
  std::vector<char> buffer_;
};

}  // namespace

void copy_tree(int source, int target) {
  TreeCopier copier(target);
  walk_tree(source, longest_path, [&](const WalkEntry& entry) { return copier.visit(entry); });
  copier.finish();
  struct stat status{};
  if (::fstat(source, &status) != 0) throw sys_error("stat the source");
  copy_attributes(open_at(target, ".", O_RDONLY | O_DIRECTORY).get(), source, status, ".");
}

}  // namespace mydocker::storage
