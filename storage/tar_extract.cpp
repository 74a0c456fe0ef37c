#include "storage/tar_extract.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "storage/space_guard.h"
#include "storage/tar_tree.h"
#include "storage/tar_walk.h"

namespace mydocker::storage {
namespace {

constexpr mode_t implied_mode = 0755;
constexpr mode_t unfinished_mode = 0700;
constexpr std::uint64_t entry_cost_bytes = 4096;

template <typename... Pieces>
Error refused(const Pieces&... pieces) {
  return Error(ErrorKind::invalid_argument, concat(pieces...));
}

/// openat2 that follows symlinks to wherever the process's own root lets them lead; -1 and errno.
UniqueFd open_following(int directory, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(retry_on_eintr(
      [&] { return ::syscall(SYS_openat2, directory, path.empty() ? "." : path.c_str(), &how, sizeof how); })));
}

std::array<timespec, 2> times_of(std::int64_t seconds, std::uint32_t nanoseconds) {
  const timespec time{seconds, static_cast<long>(nanoseconds)};
  return {time, time};
}

class Extraction {
 public:
  Extraction(ByteSource source, int directory, const ExtractOptions& options)
      : options_(options),
        directory_(directory),
        reader_(
            std::move(source), [](std::string_view) {}, options.limits),
        space_(directory, options.limits.reserve_bytes) {}

  void run() {
    std::uint64_t entries = 0;
    while (const std::optional<TarEntry> entry = reader_.next()) {
      failpoint("extract.entry");
      if (++entries > options_.limits.entries) {
        throw Error(ErrorKind::too_large, concat("more than ", options_.limits.entries, " files in one archive"));
      }
      space_.spend(entry_cost_bytes);
      take(*entry);
    }
    reader_.drain();
    set_directory_times();
    if (::syncfs(directory_) != 0) throw sys_error("sync");
  }

 private:
  struct DirectoryTime {
    std::string path;
    std::int64_t seconds;
    std::uint32_t nanoseconds;
  };

  void take(const TarEntry& entry) {
    const std::vector<std::string> parts = parse_member_name(entry.name, options_.limits);
    if (parts.empty()) return;  // "./": the destination itself stays as it is
    const UniqueFd parent = open_parent(parts);
    const std::string& leaf = parts.back();
    const bool exists = make_way(parent.get(), leaf, entry);
    switch (entry.type) {
      case TarType::directory:
        return make_directory(parent.get(), leaf, entry, exists, parts);
      case TarType::file:
        return make_file(parent.get(), leaf, entry, exists);
      case TarType::hard_link:
        return make_hard_link(parent.get(), leaf, entry);
      default:
        return make_other(parent.get(), leaf, entry);
    }
  }

  UniqueFd open_parent(const std::vector<std::string>& parts) {
    std::string path;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) path += (i == 0 ? "" : "/") + parts[i];
    UniqueFd parent = open_following(directory_, path, O_PATH | O_DIRECTORY);
    if (parent) return parent;
    if (errno == ENOTDIR) throw refused("\"", shown(path), "\" is not a directory");
    if (errno != ENOENT) throw sys_error("open ", shown(path));
    parent = open_following(directory_, ".", O_PATH | O_DIRECTORY);
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      UniqueFd next = open_following(parent.get(), parts[i], O_PATH | O_DIRECTORY);
      if (!next && errno == ENOENT) {
        if (::mkdirat(parent.get(), parts[i].c_str(), implied_mode) != 0 && errno != EEXIST) {
          throw sys_error("mkdir ", shown(path));
        }
        next = open_following(parent.get(), parts[i], O_PATH | O_DIRECTORY);
        if (next && options_.owner) own(next.get(), path);
      }
      if (!next) throw sys_error("open ", shown(path));
      parent = std::move(next);
    }
    return parent;
  }

  /// Takes away what has the member's name; true: a directory or a mount point stays, to be filled.
  bool make_way(int parent, const std::string& leaf, const TarEntry& entry) {
    struct stat status{};
    if (::fstatat(parent, leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return false;
      throw sys_error("stat ", shown(entry.name));
    }
    const bool was_directory = S_ISDIR(status.st_mode);
    const bool directory = entry.type == TarType::directory;
    if (options_.keep_kinds && was_directory && !directory) {
      throw refused("cannot overwrite directory \"", shown(entry.name), "\" with non-directory \"",
                    options_.destination, "\"");
    }
    if (options_.keep_kinds && !was_directory && directory) {
      throw refused("cannot overwrite non-directory \"", shown(entry.name), "\" with directory \"",
                    options_.destination, "\"");
    }
    if (was_directory && directory) return true;
    if (was_directory) {
      remove_tree_at(parent, leaf);
      return false;
    }
    if (::unlinkat(parent, leaf.c_str(), 0) == 0 || errno == ENOENT) return false;
    if (errno == EBUSY && S_ISREG(status.st_mode) && entry.type == TarType::file) return true;  // /etc/hosts
    throw sys_error("remove ", shown(entry.name));
  }

  void make_directory(int parent, const std::string& leaf, const TarEntry& entry, bool exists,
                      const std::vector<std::string>& parts) {
    if (!exists && ::mkdirat(parent, leaf.c_str(), unfinished_mode) != 0) throw sys_error("mkdir ", shown(entry.name));
    const UniqueFd made = open_at(parent, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    // A new one is empty: anything else was put there by somebody in the container meanwhile and is none of ours.
    if (!exists && !list_directory(made.get()).empty()) throw refused("\"", shown(entry.name), "\" is being changed");
    finish(made.get(), entry);
    std::string path;
    for (const std::string& part : parts) path += (path.empty() ? "" : "/") + part;
    times_.push_back(DirectoryTime{std::move(path), entry.mtime_seconds, entry.mtime_nanoseconds});
  }

  void make_file(int parent, const std::string& leaf, const TarEntry& entry, bool exists) {
    if (entry.real_bytes > options_.limits.file_bytes || entry.stored_bytes > options_.limits.tree_bytes) {
      throw Error(ErrorKind::too_large, concat("\"", shown(entry.name), "\": file of ", entry.real_bytes, " bytes"));
    }
    const int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | (exists ? O_TRUNC : O_CREAT | O_EXCL);
    const UniqueFd file = open_at(parent, leaf, flags, unfinished_mode & 0600);
    struct stat status{};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      throw refused("\"", shown(entry.name), "\" is being changed");
    }
    while (const std::optional<TarData> data = reader_.read_data()) {
      space_.spend(data->bytes.size());
      write_data(file.get(), entry.name, *data);
    }
    if (entry.sparse && ::ftruncate(file.get(), static_cast<off_t>(entry.real_bytes)) != 0) {
      throw sys_error("truncate ", shown(entry.name));
    }
    finish(file.get(), entry);
    set_times(file.get(), entry);
  }

  void make_hard_link(int parent, const std::string& leaf, const TarEntry& entry) {
    const std::vector<std::string> target = parse_member_name(entry.link_name, options_.limits);
    if (target.empty()) throw refused("\"", shown(entry.name), "\": hard link to the root");
    const UniqueFd from = open_parent(target);
    struct stat status{};
    if (::fstatat(from.get(), target.back().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      throw refused("\"", shown(entry.name), "\": hard link to \"", entry.link_name, "\", which is not there");
    }
    if (::linkat(from.get(), target.back().c_str(), parent, leaf.c_str(), 0) != 0) {
      throw sys_error("link ", shown(entry.name));
    }
  }

  void make_other(int parent, const std::string& leaf, const TarEntry& entry) {
    mode_t type = S_IFLNK;
    if (entry.type == TarType::symlink) {
      if (entry.link_name.empty()) throw refused("\"", shown(entry.name), "\": symlink to nothing");
      if (::symlinkat(entry.link_name.c_str(), parent, leaf.c_str()) != 0)
        throw sys_error("symlink ", shown(entry.name));
    } else {
      type = entry.type == TarType::fifo ? S_IFIFO : entry.type == TarType::block_device ? S_IFBLK : S_IFCHR;
      const dev_t device = type == S_IFIFO ? 0 : ::makedev(entry.device_major, entry.device_minor);
      if (::mknodat(parent, leaf.c_str(), type | (entry.mode & 0777), device) != 0) {
        throw sys_error("mknod ", shown(entry.name));
      }
    }
    const UniqueFd made = open_at(parent, leaf, O_PATH | O_NOFOLLOW);
    struct stat status{};
    if (::fstat(made.get(), &status) != 0 || (status.st_mode & S_IFMT) != type) {
      throw refused("\"", shown(entry.name), "\" is being changed");
    }
    const auto [uid, gid] = options_.owner.value_or(std::pair(entry.uid, entry.gid));
    if (::fchownat(made.get(), "", uid, gid, AT_EMPTY_PATH) != 0) throw sys_error("chown ", shown(entry.name));
    const std::array<timespec, 2> times = times_of(entry.mtime_seconds, entry.mtime_nanoseconds);
    if (::utimensat(made.get(), "", times.data(), AT_EMPTY_PATH) != 0) throw sys_error("times of ", shown(entry.name));
  }

  void own(int fd, const std::string& path) {
    if (::fchownat(fd, "", options_.owner->first, options_.owner->second, AT_EMPTY_PATH) != 0) {
      throw sys_error("chown ", shown(path));
    }
  }

  /// Owner first: it clears setuid and capabilities.
  void finish(int fd, const TarEntry& entry) {
    const auto [uid, gid] = options_.owner.value_or(std::pair(entry.uid, entry.gid));
    if (::fchown(fd, uid, gid) != 0) throw sys_error("chown ", shown(entry.name));
    if (::fchmod(fd, entry.mode & 07777) != 0) throw sys_error("chmod ", shown(entry.name));
    set_xattrs(fd, entry);
  }

  void set_times(int fd, const TarEntry& entry) {
    if (::futimens(fd, times_of(entry.mtime_seconds, entry.mtime_nanoseconds).data()) != 0) {
      throw sys_error("set times of ", shown(entry.name));
    }
  }

  /// Last, for each new child changes them; one that went meanwhile has none to keep.
  void set_directory_times() {
    for (const DirectoryTime& time : times_) {
      const UniqueFd directory = open_following(directory_, time.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (directory) ::futimens(directory.get(), times_of(time.seconds, time.nanoseconds).data());
    }
  }

  std::string shown(std::string_view name) const {
    while (name.ends_with('/')) name.remove_suffix(1);
    while (name.starts_with("./")) name.remove_prefix(2);
    return concat(options_.destination == "/" ? "" : options_.destination, "/", name);
  }

  const ExtractOptions& options_;
  int directory_;
  TarReader reader_;
  SpaceGuard space_;
  std::vector<DirectoryTime> times_;
};

}  // namespace

void extract_tar(ByteSource source, int directory, const ExtractOptions& options) {
  Extraction(std::move(source), directory, options).run();
}

}  // namespace mydocker::storage
