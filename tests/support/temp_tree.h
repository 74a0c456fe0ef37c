#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace mydocker::test {

/// A temporary directory with files, removed with the object. Written as one nested initializer:
///
///   const TempTree tree{{"memory.max", "max\n"}, {"sub/cgroup.procs", ""}, {"empty/", ""}};
class TempTree {
 public:
  /// Pairs of relative path and content; a path that ends in "/" is a directory.
  TempTree(std::initializer_list<std::pair<std::string_view, std::string_view>> files = {});
  TempTree(const TempTree&) = delete;
  TempTree& operator=(const TempTree&) = delete;
  ~TempTree();

  const std::string& path() const { return path_; }
  /// The absolute path of an entry.
  std::string path(std::string_view entry) const;
  void write(std::string_view entry, std::string_view content) const;
  /// The content of a file; throws when it is missing.
  std::string read(std::string_view entry) const;
  bool exists(std::string_view entry) const;
  /// "path mode size|target" of every entry, sorted, a line each: for before-and-after comparisons.
  std::string listing() const;

 private:
  std::string path_;
};

/// The listing of any directory tree (see TempTree::listing), contents of regular files included as a hash.
std::string list_tree(const std::string& directory);

}  // namespace mydocker::test
