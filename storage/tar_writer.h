#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "storage/tar_format.h"

namespace mydocker::storage {

/// Writes a pax archive: ustar headers, with a pax header before a member that needs one (long names, xattrs, ids and
/// sizes beyond octal). Single-threaded.
class TarWriter {
 public:
  using Sink = std::function<void(std::string_view bytes)>;

  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}

  /// A member's headers. A regular file's `stored_bytes` must follow by data(); other members have no content.
  void add(const TarEntry& entry);
  void data(std::string_view bytes);
  /// Pads the content with zeros to what add() promised: a file can shrink while it is read.
  void end_data();
  /// The two zero blocks.
  void finish();

 private:
  Sink sink_;
  std::uint64_t promised_ = 0;
  std::uint64_t left_ = 0;
};

}  // namespace mydocker::storage
