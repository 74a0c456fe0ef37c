#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "engine/base/json.h"
#include "engine/base/mount.h"
#include "storage/limits.h"
#include "storage/tar_apply.h"

/// What the store and its worker say to each other: one request and one answer, JSON, over a SEQPACKET socket. Bulk
/// data goes through the pipes. The worker is told no path that it could open later: directories come as descriptors,
/// and layers are mounted before it enters its root.
///
///   descriptor 0   tar or nothing in
///   descriptor 1   tar or list out
///   descriptor 3   the socket
///   descriptor 4   the directory that becomes its root (but for "export", whose root is the mounted stack), or the
///                  mount namespace of a running container
///   descriptor 5   with such a namespace: the root directory of the container's first process
namespace mydocker::storage {

inline constexpr int worker_socket = 3;
inline constexpr int worker_root = 4;
inline constexpr int worker_container_root = 5;

/// Something of the host that a container sees at `target`: a bind mount or a volume.
struct ViewMount {
  std::string source;   ///< file or directory of the host
  std::string subpath;  ///< below it, looked up inside of it
  std::string target;
  bool read_only = false;
  bool recursive = true;  ///< with what is mounted below the source

  static constexpr auto json_fields() {
    return std::tuple(field("source", &ViewMount::source), field("subpath", &ViewMount::subpath),
                      field("target", &ViewMount::target), field("read_only", &ViewMount::read_only),
                      field("recursive", &ViewMount::recursive));
  }
};

/// What lstat(2) says about a path of a container.
struct FileStat {
  std::string name;  ///< last part of the path; "/" for the root
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;  ///< st_mode
  std::int64_t mtime_ns = 0;
  std::string link_target;  ///< of a symlink: where it leads, absolute in the container

  static constexpr auto json_fields() {
    using T = FileStat;
    return std::tuple(field("name", &T::name), field("size_bytes", &T::size_bytes), field("mode", &T::mode),
                      field("mtime_ns", &T::mtime_ns), field("link_target", &T::link_target));
  }
};

/// One job for one worker process.
struct WorkerRequest {
  /// "unpack"       tar from 0 into the empty directory 4
  /// "rebuild"      layer directory 4 to the original tar on 1
  /// "changes"      upper directory 4 against the layers, as records "kind path\0" (no blank) on 1
  /// "diff"         upper directory 4 as layer tar on 1
  /// "export"       the stack as tar on 1
  /// "size"         bytes of the files below 4
  /// "copy_up"      directory `source_path` of the stack into the empty directory 4
  /// With a container's view: its mount namespace is 4, or (it does not run) `stack` and `mounts` make it up:
  /// "stat"         FileStat of `source_path`
  /// "pack"         a line with the FileStat of `source_path`, then the file or directory as tar, on 1
  /// "extract"      tar from 0 into the directory `source_path`
  /// "read"         content of the small regular file `source_path` on 1; nothing when there is none
  std::string job;
  UnpackLimits limits;
  OverlayMount stack;       ///< "changes" (lower only), "export", "copy_up", a view
  std::string source_path;  ///< looked up inside the stack or view
  std::vector<ViewMount> mounts;
  bool scratch = false;     ///< of a stack without upper: what must be made for the mounts is thrown away
  bool follow = false;      ///< "stat", "pack": the path must be a directory; a link to one is followed
  bool contents = false;    ///< "pack": the members are called "./..."
  bool keep_kinds = false;  ///< "extract": tar_extract.h
  bool set_owner = false;   ///< "extract": everything belongs to `uid` and `gid`
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("job", &WorkerRequest::job), field("limits", &WorkerRequest::limits),
                      field("stack", &WorkerRequest::stack), field("source_path", &WorkerRequest::source_path),
                      field("mounts", &WorkerRequest::mounts), field("scratch", &WorkerRequest::scratch),
                      field("follow", &WorkerRequest::follow), field("contents", &WorkerRequest::contents),
                      field("keep_kinds", &WorkerRequest::keep_kinds), field("set_owner", &WorkerRequest::set_owner),
                      field("uid", &WorkerRequest::uid), field("gid", &WorkerRequest::gid));
  }
};

struct WorkerAnswer {
  std::string error;  ///< empty: done
  std::string error_kind;
  int errno_value = 0;
  UnpackResult unpacked;        ///< "unpack"
  std::int64_t size_bytes = 0;  ///< "size"
  bool copied = false;          ///< "copy_up": false when the stack has no such directory
  FileStat stat;                ///< "stat"

  static constexpr auto json_fields() {
    return std::tuple(field("error", &WorkerAnswer::error), field("error_kind", &WorkerAnswer::error_kind),
                      field("errno_value", &WorkerAnswer::errno_value), field("unpacked", &WorkerAnswer::unpacked),
                      field("size_bytes", &WorkerAnswer::size_bytes), field("copied", &WorkerAnswer::copied),
                      field("stat", &WorkerAnswer::stat));
  }
};

}  // namespace mydocker::storage
