#include "storage/tar_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view whiteout_meta_prefix = ".wh..wh.";
constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr const char* opaque_xattr = "trusted.overlay.opaque";
constexpr mode_t implied_mode = 0755;
constexpr std::size_t kept_parents = 128;
constexpr int most_links = 40;            // as the kernel's own limit (man 7 path_resolution)
constexpr std::size_t most_steps = 4096;  // of one resolution
constexpr std::size_t spool_flush_bytes = 64 * 1024;

template <typename... Pieces>
Error hostile(std::string_view name, const Pieces&... pieces) {
  return Error(ErrorKind::invalid_argument, concat("\"", name, "\": ", pieces...));
}

Error too_long(std::string_view name) {
  return Error(ErrorKind::too_large, concat("\"", name.substr(0, 64), "...\": file name too long"));
}

/// -1 and errno as openat2 itself, without symlinks anywhere.
UniqueFd open_plain(int dir, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(retry_on_eintr(
      [&] { return ::syscall(SYS_openat2, dir, path.empty() ? "." : path.c_str(), &how, sizeof how); })));
}

bool is_whiteout(const struct stat& status) { return S_ISCHR(status.st_mode) && status.st_rdev == 0; }

std::string join(const std::vector<std::string>& parts, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) out.push_back('/');
    out += parts[i];
  }
  return out;
}

std::string child_path(std::string_view parent, std::string_view leaf) {
  return parent.empty() ? std::string(leaf) : concat(parent, "/", leaf);
}

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

std::array<timespec, 2> times_of(const TarEntry& entry) {
  const timespec time{entry.mtime_seconds, static_cast<long>(entry.mtime_nanoseconds)};
  return {time, time};
}

void mark_opaque(int fd, std::string_view name) {
  if (::fsetxattr(fd, opaque_xattr, "y", 1, 0) != 0) throw sys_error("\"", name, "\": set ", opaque_xattr);
}

std::string read_link(int dir, const std::string& name, std::size_t limit) {
  std::string text(limit + 1, '\0');
  const ssize_t length = ::readlinkat(dir, name.c_str(), text.data(), text.size());
  if (length < 0) throw sys_error("readlink ", name);
  if (static_cast<std::size_t>(length) > limit) throw too_long(name);
  text.resize(static_cast<std::size_t>(length));
  return text;
}

}  // namespace

bool is_portable_xattr(std::string_view name) {
  if (name.starts_with("user.")) return !name.starts_with("user.overlay.");
  return name == "security.capability";
}

void set_xattrs(int fd, const TarEntry& entry) {
  for (const auto& [name, value] : entry.xattrs) {
    if (!is_portable_xattr(name)) continue;
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0 && errno != ENOTSUP) {
      throw sys_error("\"", entry.name, "\": set xattr ", name);
    }
  }
}

std::vector<std::string> parse_member_name(std::string_view name, const UnpackLimits& limits) {
  if (name.size() > limits.name_bytes) throw too_long(name);
  std::vector<std::string> parts = split(name);
  for (const std::string& part : parts) {
    if (part == "..") throw hostile(name, "\"..\" in a file name");
    if (part.size() > limits.component_bytes) throw too_long(name);
  }
  return parts;
}

TarPath TarPath::parse(std::string_view name, const UnpackLimits& limits) {
  TarPath path;
  path.parts = parse_member_name(name, limits);
  for (std::size_t i = 0; i < path.parts.size(); ++i) {
    const std::string& part = path.parts[i];
    const bool last = i + 1 == path.parts.size();
    if (!part.starts_with(whiteout_prefix)) continue;
    if (last && part == opaque_name) {
      path.meaning = Meaning::opaque;
      path.parts.pop_back();
    } else if (part.starts_with(whiteout_meta_prefix)) {
      path.meaning = Meaning::ignored;
    } else if (!last) {
      throw hostile(name, "a whiteout cannot be a directory");
    } else {
      const std::string hidden = part.substr(whiteout_prefix.size());
      if (hidden.empty() || hidden == "." || hidden == "..") throw hostile(name, "whiteout of nothing");
      path.meaning = Meaning::whiteout;
      path.parts.back() = hidden;
    }
    break;
  }
  return path;
}

TarTree::TarTree(int quarantine, const UnpackLimits& limits, std::function<std::uint64_t()> content_records)
    : limits_(limits), quarantine_(duplicate_fd(quarantine)), content_records_(std::move(content_records)) {
  if (::mkdirat(quarantine, "tree", implied_mode) != 0) throw sys_error("mkdir tree");
  tree_ = open_beneath(quarantine, "tree", O_PATH | O_DIRECTORY);
  root_.fd = duplicate_fd(tree_.get());
  times_ = open_at(quarantine, "times", O_RDWR | O_CREAT | O_EXCL, 0600);
  if (::unlinkat(quarantine, "times", 0) != 0) throw sys_error("unlink times");
}

const TarTree::Parent& TarTree::open_parent(const std::vector<std::string>& parts, std::size_t count,
                                            bool make_missing) {
  if (count == 0) return root_;
  std::string key = join(parts, count);
  if (const auto found = parents_.find(key); found != parents_.end()) return found->second;
  if (parents_.size() >= kept_parents) parents_.clear();
  Parent parent = open_dirs(parts, count, make_missing);
  return parents_.emplace(std::move(key), std::move(parent)).first->second;
}

TarTree::Parent TarTree::open_dirs(const std::vector<std::string>& parts, std::size_t count, bool make_missing) {
  Parent parent;
  parent.path = join(parts, count);
  parent.fd = open_plain(tree_.get(), parent.path, O_PATH | O_DIRECTORY);
  if (!parent.fd && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) throw sys_error("open ", parent.path);
  if (!parent.fd) parent = resolve_dirs(parts, count, make_missing);
  struct stat status{};
  if (::fstat(parent.fd.get(), &status) != 0) throw sys_error("stat ", parent.path);
  parent.setgid = (status.st_mode & S_ISGID) != 0;
  return parent;
}

/// The slow way, part by part: symlinks are followed inside the tree, missing directories made.
TarTree::Parent TarTree::resolve_dirs(const std::vector<std::string>& parts, std::size_t count, bool make_missing) {
  const std::string asked = join(parts, count);
  std::deque<std::string> rest(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count));
  std::vector<std::string> done;
  UniqueFd current = duplicate_fd(tree_.get());
  int links = 0;
  for (std::size_t step = 0; !rest.empty(); ++step) {
    if (step >= most_steps) throw hostile(asked, "too many levels of symbolic links");
    const std::string part = std::move(rest.front());
    rest.pop_front();
    if (part == "..") {  // of a symlink's text; ".." of the root is the root
      if (!done.empty()) done.pop_back();
      current = open_plain(tree_.get(), join(done, done.size()), O_PATH | O_DIRECTORY);
      if (!current) throw sys_error("open ", asked);
      continue;
    }
    UniqueFd next(
        retry_on_eintr([&] { return ::openat(current.get(), part.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC); }));
    if (!next && errno != ENOENT) throw sys_error("open ", asked);
    struct stat status{};
    if (next && ::fstat(next.get(), &status) != 0) throw sys_error("stat ", asked);
    if (next && S_ISLNK(status.st_mode)) {
      if (++links > most_links) throw hostile(asked, "too many levels of symbolic links");
      const std::string text = read_link(current.get(), part, limits_.name_bytes);
      const std::vector<std::string> more = split(text);
      rest.insert(rest.begin(), more.begin(), more.end());
      if (text.starts_with('/')) {
        done.clear();
        current = duplicate_fd(tree_.get());
      }
      continue;
    }
    if (next && !S_ISDIR(status.st_mode) && !is_whiteout(status))
      throw hostile(asked, "\"", part, "\" is no directory");
    done.push_back(part);
    const std::string path = join(done, done.size());
    if (path.size() > limits_.name_bytes) throw too_long(path);
    if (!next || is_whiteout(status)) {
      if (!make_missing) throw hostile(asked, "no such directory");
      next = make_implied_dir(current.get(), part, path, static_cast<bool>(next));
    }
    current = std::move(next);
  }
  return Parent{std::move(current), join(done, done.size()), false};
}

UniqueFd TarTree::make_implied_dir(int parent, const std::string& name, std::string_view path, bool over_whiteout) {
  if (over_whiteout && ::unlinkat(parent, name.c_str(), 0) != 0) throw sys_error("unlink ", path);
  if (::mkdirat(parent, name.c_str(), implied_mode) != 0) throw sys_error("mkdir ", path);
  // The whiteout hid the whole lower directory: a merged one would bring its content back.
  if (over_whiteout) mark_opaque(open_plain(parent, name, O_RDONLY | O_DIRECTORY).get(), path);
  UniqueFd made = open_plain(parent, name, O_PATH | O_DIRECTORY);
  if (!made) throw sys_error("open ", path);
  return made;
}

/// Takes away what has this name. Contents are still wanted by the recipe, a directory may hold some.
void TarTree::make_way(const Parent& parent, const std::string& leaf) {
  struct stat status{};
  const std::string path = child_path(parent.path, leaf);
  if (::fstatat(parent.fd.get(), leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) throw sys_error("stat ", path);
  const bool keep = S_ISDIR(status.st_mode) || (S_ISREG(status.st_mode) && status.st_size > 0);
  if (!keep) {
    if (::unlinkat(parent.fd.get(), leaf.c_str(), 0) != 0) throw sys_error("unlink ", path);
  } else {
    if (moves_.size() >= limits_.replaced_entries) throw Error(ErrorKind::too_large, "too many members replace others");
    if (!lost_) {
      if (::mkdirat(quarantine_.get(), "lost", 0700) != 0) throw sys_error("mkdir lost");
      lost_ = open_beneath(quarantine_.get(), "lost", O_PATH | O_DIRECTORY);
    }
    const std::string number = std::to_string(moves_.size());
    if (::renameat(parent.fd.get(), leaf.c_str(), lost_.get(), number.c_str()) != 0) throw sys_error("move ", path);
    moves_.push_back(Move{content_records_(), path});
  }
}

/// Calls `make` (which must refuse an existing name with EEXIST), after making way if need be.
template <typename Make>
void TarTree::make_node(const Parent& parent, const std::string& leaf, std::string_view call, Make&& make) {
  if (make() == 0) return;
  if (errno != EEXIST) throw sys_error(call, " ", child_path(parent.path, leaf));
  make_way(parent, leaf);
  if (make() != 0) throw sys_error(call, " ", child_path(parent.path, leaf));
}

TarTree::File TarTree::make_file(const TarPath& path, const TarEntry& entry) {
  if (path.parts.empty()) throw hostile(entry.name, "the root is a directory");
  const std::string& leaf = path.parts.back();
  const Parent& parent = open_parent(path.parts, path.parts.size() - 1, true);
  File file;
  file.path = child_path(parent.path, leaf);
  if (file.path.size() > limits_.name_bytes) throw too_long(file.path);
  bool cleared = false;
  make_node(parent, leaf, "create", [&] {
    file.fd.reset(::openat(parent.fd.get(), leaf.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           entry.mode & 0777));
    cleared = !file.fd;
    return file.fd ? 0 : -1;
  });
  // A new file is root's, but for a setgid parent. chown(2) clears setuid and capabilities: it comes first.
  const bool foreign = entry.uid != 0 || entry.gid != 0 || parent.setgid;
  if (foreign && ::fchown(file.fd.get(), entry.uid, entry.gid) != 0) throw sys_error("chown ", file.path);
  // What was replaced may have been a symlink or directory that other names went through; `parent` ends here.
  if (cleared) parents_.clear();
  return file;
}

void TarTree::finish_file(const File& file, const TarEntry& entry) {
  // Writing clears setuid and capabilities, too.
  if (((entry.mode & 07000) != 0 || !entry.xattrs.empty()) && ::fchmod(file.fd.get(), entry.mode) != 0) {
    throw sys_error("chmod ", file.path);
  }
  set_xattrs(file.fd.get(), entry);
  if (::futimens(file.fd.get(), times_of(entry).data()) != 0) throw sys_error("set times of ", file.path);
}

void TarTree::make_directory(const TarPath& path, const TarEntry& entry) {
  std::string where;
  UniqueFd dir;
  if (path.parts.empty()) {
    dir = open_plain(tree_.get(), ".", O_RDONLY | O_DIRECTORY);
  } else {
    const std::string& leaf = path.parts.back();
    const Parent& parent = open_parent(path.parts, path.parts.size() - 1, true);
    where = child_path(parent.path, leaf);
    if (where.size() > limits_.name_bytes) throw too_long(where);
    bool cleared = false;
    if (::mkdirat(parent.fd.get(), leaf.c_str(), entry.mode & 0777) != 0) {
      struct stat status{};
      if (errno != EEXIST || ::fstatat(parent.fd.get(), leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        throw sys_error("mkdir ", where);
      }
      if (!S_ISDIR(status.st_mode)) {
        make_way(parent, leaf);
        dir = make_implied_dir(parent.fd.get(), leaf, where, false);
        if (is_whiteout(status)) mark_opaque(open_plain(parent.fd.get(), leaf, O_RDONLY | O_DIRECTORY).get(), where);
        cleared = true;
      }
    }
    dir = open_plain(parent.fd.get(), leaf, O_RDONLY | O_DIRECTORY);
    if (cleared) parents_.clear();
  }
  if (!dir) throw sys_error("open ", where);
  if (::fchown(dir.get(), entry.uid, entry.gid) != 0) throw sys_error("chown ", where);
  if (::fchmod(dir.get(), entry.mode) != 0) throw sys_error("chmod ", where);
  set_xattrs(dir.get(), entry);
  if ((entry.mode & S_ISGID) != 0) parents_.clear();  // their `setgid` is older
  if (path.parts.empty()) root_.setgid = (entry.mode & S_ISGID) != 0;
  remember_times(where, entry);
}

void TarTree::make_hard_link(const TarPath& path, const TarEntry& entry) {
  if (entry.link_name.size() > limits_.name_bytes) throw too_long(entry.link_name);
  const std::vector<std::string> target = split(entry.link_name);
  if (target.empty()) throw hostile(entry.name, "hard link to the root");
  for (const std::string& part : target) {
    if (part == "..") throw hostile(entry.name, "\"..\" in the hard link's target \"", entry.link_name, "\"");
    if (part.size() > limits_.component_bytes) throw too_long(entry.link_name);
  }
  // Own descriptors: the cache may be emptied by the second lookup.
  const Parent from = open_dirs(target, target.size() - 1, false);
  const Parent to = open_dirs(path.parts, path.parts.size() - 1, true);
  const std::string& leaf = path.parts.back();
  struct stat source{};
  if (::fstatat(from.fd.get(), target.back().c_str(), &source, AT_SYMLINK_NOFOLLOW) != 0 || is_whiteout(source)) {
    throw hostile(entry.name, "hard link to \"", entry.link_name, "\", which is not in the archive");
  }
  if (S_ISDIR(source.st_mode)) throw hostile(entry.name, "hard link to the directory \"", entry.link_name, "\"");
  struct stat present{};
  if (::fstatat(to.fd.get(), leaf.c_str(), &present, AT_SYMLINK_NOFOLLOW) == 0) {
    if (present.st_dev == source.st_dev && present.st_ino == source.st_ino) return;  // linked already, or to itself
    make_way(to, leaf);
    parents_.clear();
  }
  if (::linkat(from.fd.get(), target.back().c_str(), to.fd.get(), leaf.c_str(), 0) != 0) {
    throw sys_error("link ", child_path(to.path, leaf));
  }
}

void TarTree::make_other(const TarPath& path, const TarEntry& entry) {
  if (entry.type == TarType::directory) return make_directory(path, entry);
  if (path.parts.empty()) throw hostile(entry.name, "the root is a directory");
  if (entry.type == TarType::hard_link) return make_hard_link(path, entry);

  const std::string& leaf = path.parts.back();
  const Parent& parent = open_parent(path.parts, path.parts.size() - 1, true);
  const std::string where = child_path(parent.path, leaf);
  if (where.size() > limits_.name_bytes) throw too_long(where);
  bool cleared = false;
  const auto at_parent = [&](int result) {
    cleared = cleared || result != 0;
    return result;
  };
  if (entry.type == TarType::symlink) {
    if (entry.link_name.size() >= limits_.name_bytes) throw too_long(entry.link_name);
    if (entry.link_name.empty()) throw hostile(entry.name, "symlink to nothing");
    make_node(parent, leaf, "symlink",
              [&] { return at_parent(::symlinkat(entry.link_name.c_str(), parent.fd.get(), leaf.c_str())); });
  } else {
    const mode_t type = entry.type == TarType::fifo ? S_IFIFO : entry.type == TarType::block_device ? S_IFBLK : S_IFCHR;
    const dev_t device = entry.type == TarType::fifo ? 0 : ::makedev(entry.device_major, entry.device_minor);
    make_node(parent, leaf, "mknod",
              [&] { return at_parent(::mknodat(parent.fd.get(), leaf.c_str(), type | (entry.mode & 0777), device)); });
  }
  const UniqueFd made = open_plain(parent.fd.get(), leaf, O_PATH | O_NOFOLLOW);
  if (!made) throw sys_error("open ", where);
  if (::fchownat(made.get(), "", entry.uid, entry.gid, AT_EMPTY_PATH) != 0) throw sys_error("chown ", where);
  if (::utimensat(made.get(), "", times_of(entry).data(), AT_EMPTY_PATH) != 0) throw sys_error("set times of ", where);
  if (cleared) parents_.clear();
}

void TarTree::make_whiteout(const TarPath& path) {
  const std::string& leaf = path.parts.back();
  const Parent& parent = open_parent(path.parts, path.parts.size() - 1, true);
  if (::mknodat(parent.fd.get(), leaf.c_str(), S_IFCHR, 0) == 0) return;
  if (errno != EEXIST) throw sys_error("mknod ", child_path(parent.path, leaf));
  // This tar's own file stays and hides the lower one anyway; its own directory must not merge with the lower one.
  const UniqueFd dir = open_plain(parent.fd.get(), leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (dir) mark_opaque(dir.get(), leaf);
}

void TarTree::make_opaque(const TarPath& path) {
  if (path.parts.empty()) {
    opaque_root_ = true;
    return;
  }
  const Parent& parent = open_parent(path.parts, path.parts.size(), true);
  if (parent.path.empty()) {  // a symlink to the root
    opaque_root_ = true;
    return;
  }
  const UniqueFd dir = open_plain(tree_.get(), parent.path, O_RDONLY | O_DIRECTORY);
  if (!dir) throw sys_error("open ", parent.path);
  mark_opaque(dir.get(), parent.path);
}

void TarTree::remember_times(std::string_view path, const TarEntry& entry) {
  times_buffer_.append(path).push_back('\0');
  const timespec time = times_of(entry)[1];
  times_buffer_.append(reinterpret_cast<const char*>(&time), sizeof time);
  if (times_buffer_.size() < spool_flush_bytes) return;
  write_all(times_.get(), times_buffer_);
  times_buffer_.clear();
}

void TarTree::finish() {
  write_all(times_.get(), times_buffer_);
  times_buffer_.clear();
  if (::lseek(times_.get(), 0, SEEK_SET) != 0) throw sys_error("seek times");
  std::string& text = times_buffer_;
  std::vector<char> buffer(spool_flush_bytes);
  for (;;) {
    const ssize_t got = retry_on_eintr([&] { return ::read(times_.get(), buffer.data(), buffer.size()); });
    if (got < 0) throw sys_error("read times");
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t at = 0;
    for (;;) {
      const std::size_t end = text.find('\0', at);
      if (end == std::string::npos || text.size() - end - 1 < sizeof(timespec)) break;
      std::array<timespec, 2> times{};
      std::memcpy(&times[0], text.data() + end + 1, sizeof(timespec));
      times[1] = times[0];
      const UniqueFd dir = open_plain(tree_.get(), text.substr(at, end - at), O_RDONLY | O_DIRECTORY);
      if (dir) ::futimens(dir.get(), times.data());  // a directory replaced since has no time to keep
      at = end + 1 + sizeof(timespec);
    }
    text.erase(0, at);
  }
  if (moves_.empty()) return;
  std::string index;
  for (std::size_t i = 0; i < moves_.size(); ++i) {
    index += concat(moves_[i].count, " ", i, " ", moves_[i].path);
    index.push_back('\0');
  }
  write_all(open_at(lost_.get(), "index", O_WRONLY | O_CREAT | O_EXCL, 0600).get(), index);
}

}  // namespace mydocker::storage
