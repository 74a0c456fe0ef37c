#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "api/types/event.h"
#include "engine/base/unique_fd.h"

namespace mydocker::engine {

/// The durable half of the event ring: one JSON line per event in two segments, <path> and <path>.1. A full segment
/// takes the place of the older one, so the disk holds two of them at most. An append is one write(2) into the page
/// cache: it outlives the process (SIGKILL), and the kernel brings it to the disk in its own time; nothing is synced.
/// After a power cut the last seconds may be missing: `fill_event_gaps` tells again what the database knows. One
/// thread at a time.
class EventJournal {
 public:
  /// Opens or makes both segments (mode 0600). Blocks. Throws Error{internal}.
  explicit EventJournal(std::string path, std::size_t segment_bytes = std::size_t{1} << 20);

  /// The newest events that earlier engines wrote, oldest first, `most` at most. A line that is no event (cut by a
  /// power failure) is skipped. Blocks.
  std::vector<api::Event> load(std::size_t most) const;

  /// Never throws: an event that cannot be written is told to those who listen and forgotten at the next start; the
  /// log says so once.
  void append(const api::Event& event) noexcept;

 private:
  void open_segment();
  void rotate();

  std::string path_;
  std::size_t segment_bytes_;
  UniqueFd file_;
  std::size_t size_bytes_ = 0;
  bool failing_ = false;
};

}  // namespace mydocker::engine
