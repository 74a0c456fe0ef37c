#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"

/// The tar streams of `cp`: written from local files, unpacked below a local directory. One thread; blocks on files.
/// Format: POSIX ustar with pax records for what does not fit (IEEE 1003.1, pax).
namespace mydocker::cli {

/// A local file or directory as a tar stream, in pieces.
class TarSource {
 public:
  /// `name` is what the top entry is called in the archive; "." = only what is in the directory. With `follow`, a
  /// symlink given as `path` is read through.
  TarSource(const std::string& path, std::string name, bool follow);

  /// The next piece; "" at the end. Throws Error when a file cannot be read.
  std::string_view next();
  std::uint64_t content_bytes() const noexcept { return content_bytes_; }

 private:
  struct Entry {
    std::string path;
    std::string name;
  };
  std::vector<Entry> pending_;  ///< a stack
  bool follow_ = false;
  UniqueFd file_;
  std::uint64_t remaining_ = 0;
  std::size_t padding_ = 0;
  bool ended_ = false;
  std::string piece_;
  std::uint64_t content_bytes_ = 0;

  void begin(const Entry& entry);
  void push_children(const Entry& entry);
};

enum class Ownership {
  caller,   ///< new files belong to whoever runs the command
  archive,  ///< uid and gid of the archive (cp -a)
};

/// Unpacks a stream below a directory. Every name is resolved step by step without following a symlink, so nothing is
/// written outside, whatever the archive says (SECURITY R1).
class TarTarget {
 public:
  /// The archive's first name component `from` becomes `to`; from "" = names are taken as they are.
  TarTarget(const std::string& directory, std::string from, std::string to, Ownership ownership);

  /// Throws Error{invalid_argument} on a malformed archive and Error{internal} when a file cannot be written.
  void feed(std::string_view bytes);
  /// Throws Error{invalid_argument} when the stream ended inside an entry.
  void finish() const;
  std::uint64_t content_bytes() const noexcept { return content_bytes_; }

 private:
  struct Header {
    std::string name;
    std::string link;
    char type = '0';
    mode_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::int64_t mtime = 0;
    std::uint64_t size = 0;
    unsigned major = 0;
    unsigned minor = 0;
  };
  enum class State { header, data, metadata, skip, ended };

  UniqueFd root_;
  std::string from_;
  std::string to_;
  Ownership ownership_;
  State state_ = State::header;
  std::string block_;
  std::uint64_t remaining_ = 0;
  std::size_t padding_ = 0;
  Header current_;
  std::string metadata_;
  std::map<std::string, std::string> pax_;
  std::string long_name_;
  std::string long_link_;
  UniqueFd file_;
  std::uint64_t content_bytes_ = 0;

  void begin_entry();
  void take_metadata();
  void close_file();
  Header parse_header() const;
  std::string target_name(const std::string& name) const;
  UniqueFd open_parent(const std::string& name, std::string& leaf) const;
  void create(const Header& header);
  void set_attributes(int parent, const std::string& leaf, const Header& header) const;
};

}  // namespace mydocker::cli
