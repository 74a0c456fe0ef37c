#include "storage/tar_diff.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <vector>

#include "engine/base/sys.h"
#include "storage/tar_walk.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t copy_bytes = 256 * 1024;

/// Finds changes depth first, with the lower directory of each level beside it.
class ChangeFinder {
 public:
  ChangeFinder(int lower, const ChangeSink& sink) : sink_(sink) {
    lower_.emplace_back(lower < 0 ? UniqueFd() : open_at(lower, ".", O_RDONLY | O_DIRECTORY));
  }

  Descend visit(const WalkEntry& entry) {
    // Back from deeper levels: what they held is of no use here.
    lower_.resize(entry.depth + 1);
    parents_.resize(entry.depth);
    struct stat below{};
    const int lower = lower_.back().get();
    const bool exists = lower >= 0 && ::fstatat(lower, entry.name.c_str(), &below, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_whiteout(entry.status)) {
      if (exists) report(ChangeKind::deleted, entry.path);
      return Descend::no;
    }
    if (!S_ISDIR(entry.status.st_mode)) {
      report(exists ? ChangeKind::modified : ChangeKind::added, entry.path);
      return Descend::no;
    }
    visit_directory(entry, exists ? &below : nullptr);
    return Descend::yes;
  }

 private:
  struct Parent {
    std::string path;
    bool reported = false;
  };

  void visit_directory(const WalkEntry& entry, const struct stat* below) {
    const bool both = below != nullptr && S_ISDIR(below->st_mode);
    const bool same = both && same_attributes(entry.status, *below);
    if (!same) report(below == nullptr ? ChangeKind::added : ChangeKind::modified, entry.path);
    parents_.push_back(Parent{entry.path, !same});
    UniqueFd lower = both ? open_entry(lower_.back().get(), entry.name, O_RDONLY | O_DIRECTORY) : UniqueFd();
    if (lower) {
      const UniqueFd own = open_entry(entry.parent, entry.name, O_RDONLY | O_DIRECTORY);
      if (own && is_opaque(own.get())) report_hidden(own.get(), lower.get(), entry.path);
    }
    lower_.push_back(std::move(lower));
  }

  /// An opaque directory hides all of the lower one: what is not there again is deleted.
  void report_hidden(int own, int lower, const std::string& path) {
    for (const std::string& name : list_directory(lower)) {
      struct stat status{};
      if (::fstatat(own, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) continue;
      report(ChangeKind::deleted, concat(path, "/", name));
    }
  }

  void report(ChangeKind kind, const std::string& path) {
    for (Parent& parent : parents_) {
      if (parent.reported) continue;
      sink_(ChangeKind::modified, parent.path);
      parent.reported = true;
    }
    sink_(kind, path);
  }

  static bool same_attributes(const struct stat& a, const struct stat& b) {
    return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid &&
           a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
  }

  const ChangeSink& sink_;
  std::vector<UniqueFd> lower_;  ///< by depth; empty where the lower layers have no directory
  std::vector<Parent> parents_;
};

class TreeArchiver {
 public:
  /// `prefix` goes before each member's name.
  TreeArchiver(TarForm form, const TarWriter::Sink& sink, std::string prefix = {})
      : form_(form), writer_(sink), prefix_(std::move(prefix)), buffer_(copy_bytes) {}

  Descend visit(const WalkEntry& entry) {
    if (form_ == TarForm::layer && is_whiteout(entry.status)) {
      add_mark(parent_of(entry.path) + ".wh." + entry.name);
      return Descend::no;
    }
    if (S_ISSOCK(entry.status.st_mode)) return Descend::no;  // tar has no word for it
    TarEntry member = describe(entry);
    if (const std::string* first = links_.find_or_remember(entry.status, member.name)) {
      member.type = TarType::hard_link;
      member.link_name = *first;
      writer_.add(member);
    } else if (S_ISREG(entry.status.st_mode)) {
      add_file(entry, member);
    } else if (S_ISDIR(entry.status.st_mode)) {
      add_directory(entry, member);
    } else if (S_ISLNK(entry.status.st_mode)) {
      add_symlink(entry, member);
    } else {
      add_node(entry, member);
    }
    return Descend::yes;
  }

  void finish() { writer_.finish(); }

  /// The directory that is walked itself, under the name of the prefix.
  void add_top(int directory) {
    struct stat status{};
    if (::fstat(directory, &status) != 0) throw sys_error("stat ", prefix_);
    TarEntry member;
    member.type = TarType::directory;
    member.name = prefix_;
    set_attributes(member, status);
    member.xattrs = portable_xattrs(directory);
    writer_.add(member);
  }

 private:
  static std::string parent_of(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
  }

  TarEntry describe(const WalkEntry& entry) const {
    TarEntry member;
    member.name = prefix_ + entry.path;
    set_attributes(member, entry.status);
    return member;
  }

  static void set_attributes(TarEntry& member, const struct stat& status) {
    member.mode = status.st_mode & 07777;
    member.uid = status.st_uid;
    member.gid = status.st_gid;
    member.mtime_seconds = status.st_mtim.tv_sec;
  }

  void add_mark(std::string name) {
    TarEntry mark;
    mark.name = std::move(name);
    writer_.add(mark);
  }

  void add_file(const WalkEntry& entry, TarEntry& member) {
    const UniqueFd file = open_entry(entry.parent, entry.name, O_RDONLY);
    struct stat status{};
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;  // swapped meanwhile
    set_attributes(member, status);
    member.stored_bytes = static_cast<std::uint64_t>(status.st_size);
    member.xattrs = portable_xattrs(file.get());
    writer_.add(member);
    for (std::uint64_t left = member.stored_bytes; left > 0;) {
      const ssize_t got = retry_on_eintr([&] { return ::read(file.get(), buffer_.data(), buffer_.size()); });
      if (got < 0) throw sys_error("read ", entry.path);
      if (got == 0) break;  // shorter than promised: the writer fills it up
      const auto part = std::min<std::uint64_t>(left, static_cast<std::uint64_t>(got));
      writer_.data(std::string_view(buffer_.data(), static_cast<std::size_t>(part)));
      left -= part;
    }
    writer_.end_data();
  }

  void add_directory(const WalkEntry& entry, TarEntry& member) {
    member.type = TarType::directory;
    member.name += "/";
    const UniqueFd directory = open_entry(entry.parent, entry.name, O_RDONLY | O_DIRECTORY);
    if (directory) member.xattrs = portable_xattrs(directory.get());
    writer_.add(member);
    if (form_ == TarForm::layer && directory && is_opaque(directory.get())) add_mark(member.name + ".wh..wh..opq");
  }

  void add_symlink(const WalkEntry& entry, TarEntry& member) {
    member.type = TarType::symlink;
    member.link_name.resize(static_cast<std::size_t>(entry.status.st_size) + 1);
    const ssize_t length =
        ::readlinkat(entry.parent, entry.name.c_str(), member.link_name.data(), member.link_name.size());
    if (length <= 0) return;  // swapped meanwhile
    member.link_name.resize(static_cast<std::size_t>(length));
    writer_.add(member);
  }

  void add_node(const WalkEntry& entry, TarEntry& member) {
    member.type = S_ISFIFO(entry.status.st_mode)  ? TarType::fifo
                  : S_ISBLK(entry.status.st_mode) ? TarType::block_device
                                                  : TarType::character_device;
    if (member.type != TarType::fifo) {
      member.device_major = major(entry.status.st_rdev);
      member.device_minor = minor(entry.status.st_rdev);
    }
    writer_.add(member);
  }

  TarForm form_;
  TarWriter writer_;
  std::string prefix_;
  HardLinks links_;
  std::vector<char> buffer_;
};

}  // namespace

void find_changes(int upper, int lower, std::size_t longest_path, const ChangeSink& sink) {
  ChangeFinder finder(lower, sink);
  walk_tree(upper, longest_path, [&](const WalkEntry& entry) { return finder.visit(entry); });
}

void write_tree(int root, TarForm form, std::size_t longest_path, const TarWriter::Sink& sink) {
  TreeArchiver archiver(form, sink);
  walk_tree(root, longest_path, [&](const WalkEntry& entry) { return archiver.visit(entry); });
  archiver.finish();
}

void write_member(int parent, const std::string& name, const std::string& member, std::size_t longest_path,
                  const TarWriter::Sink& sink) {
  struct stat status{};
  if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) throw sys_error("stat ", name);
  if (!S_ISDIR(status.st_mode)) {
    TreeArchiver archiver(TarForm::plain, sink);
    archiver.visit(WalkEntry{member, name, parent, 0, status});
    return archiver.finish();
  }
  TreeArchiver archiver(TarForm::plain, sink, member.ends_with('/') ? member : member + "/");
  const UniqueFd directory = open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  archiver.add_top(directory.get());
  walk_tree(directory.get(), longest_path, [&](const WalkEntry& entry) { return archiver.visit(entry); });
  archiver.finish();
}

std::int64_t tree_size(int root) {
  constexpr std::size_t any_path = std::size_t{1} << 20;
  std::int64_t sum = 0;
  HardLinks links;
  walk_tree(root, any_path, [&](const WalkEntry& entry) {
    const bool counts = !S_ISDIR(entry.status.st_mode) && links.find_or_remember(entry.status, {}) == nullptr;
    if (counts) sum += entry.status.st_size;
    return Descend::yes;
  });
  return sum;
}

}  // namespace mydocker::storage
