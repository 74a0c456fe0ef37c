#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/unique_fd.h"

/// Walking a tree that somebody else may be changing. Nothing is followed; what vanishes meanwhile is left out.
namespace mydocker::storage {

struct WalkEntry {
  const std::string& path;  ///< below the root, without a leading slash
  const std::string& name;  ///< its last part
  int parent;               ///< directory that holds it
  std::size_t depth;        ///< 0 for the root's children
  const struct stat& status;
};

enum class Descend { yes, no };

/// Visits every entry below the directory `root`, parents before children, names of one directory in byte order.
/// Holds one descriptor per level. Throws Error{too_large} when a path grows beyond `longest_path` bytes.
void walk_tree(int root, std::size_t longest_path, const std::function<Descend(const WalkEntry&)>& visit);

/// The names in an open directory, sorted.
std::vector<std::string> list_directory(int directory);
/// Opens an entry for reading without following it or waiting for anybody (FIFOs, terminals); empty when it vanished.
UniqueFd open_entry(int parent, const std::string& name, int flags);
/// The value, or empty when the file has no such attribute.
std::string read_xattr(int fd, const char* name);
/// The xattrs that archives carry (is_portable_xattr), sorted by name.
std::vector<std::pair<std::string, std::string>> portable_xattrs(int fd);

/// Overlayfs' marks in an upper directory.
bool is_whiteout(const struct stat& status);
bool is_opaque(int directory);

/// First path of each file with several names.
class HardLinks {
 public:
  /// nullptr: not seen before, and remembered now.
  const std::string* find_or_remember(const struct stat& status, const std::string& path);

 private:
  std::map<std::pair<dev_t, ino_t>, std::string> paths_;
};

}  // namespace mydocker::storage
