#pragma once

#include <string>
#include <tuple>
#include <vector>

#include "engine/base/json.h"

/// Mounts as values and the new mount API (man 2 fsopen, move_mount, mount_setattr). Single-threaded callers that own
/// their mount namespace; nothing here is called by a thread that shares the host's mount namespace.
namespace mydocker {

/// A stack of layers to be mounted: storage produces it, the shim (or storage's worker) mounts it.
struct OverlayMount {
  std::vector<std::string> lower;  ///< directories, topmost layer first
  std::string upper;               ///< empty: nothing can be written
  std::string work;                ///< on the same file system as `upper`
  bool read_only = false;

  static constexpr auto json_fields() {
    return std::tuple(field("lower", &OverlayMount::lower), field("upper", &OverlayMount::upper),
                      field("work", &OverlayMount::work), field("read_only", &OverlayMount::read_only));
  }
};

}  // namespace mydocker
