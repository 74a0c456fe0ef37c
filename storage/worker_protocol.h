#pragma once

#include <cstdint>
#include <string>
#include <tuple>

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
///   descriptor 4   the directory that becomes its root (but for "export", whose root is the mounted stack)
namespace mydocker::storage {

inline constexpr int worker_socket = 3;
inline constexpr int worker_root = 4;

/// One job for one worker process.
struct WorkerRequest {
  /// "unpack"       tar from 0 into the empty directory 4
  /// "rebuild"      layer directory 4 to the original tar on 1
  /// "changes"      upper directory 4 against the layers, as records "kind path\0" (no blank) on 1
  /// "diff"         upper directory 4 as layer tar on 1
  /// "export"       the stack as tar on 1
  /// "size"         bytes of the files below 4
  /// "copy_up"      directory `source_path` of the stack into the empty directory 4
  std::string job;
  UnpackLimits limits;
  OverlayMount stack;       ///< "changes" (lower only), "export", "copy_up"
  std::string source_path;  ///< "copy_up": looked up inside the stack

  static constexpr auto json_fields() {
    return std::tuple(field("job", &WorkerRequest::job), field("limits", &WorkerRequest::limits),
                      field("stack", &WorkerRequest::stack), field("source_path", &WorkerRequest::source_path));
  }
};

struct WorkerAnswer {
  std::string error;  ///< empty: done
  std::string error_kind;
  int errno_value = 0;
  UnpackResult unpacked;        ///< "unpack"
  std::int64_t size_bytes = 0;  ///< "size"
  bool copied = false;          ///< "copy_up": false when the stack has no such directory

  static constexpr auto json_fields() {
    return std::tuple(field("error", &WorkerAnswer::error), field("error_kind", &WorkerAnswer::error_kind),
                      field("errno_value", &WorkerAnswer::errno_value), field("unpacked", &WorkerAnswer::unpacked),
                      field("size_bytes", &WorkerAnswer::size_bytes), field("copied", &WorkerAnswer::copied));
  }
};

}  // namespace mydocker::storage
