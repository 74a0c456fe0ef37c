#include "api/daemon/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::daemon {
namespace {

constexpr int most_arenas = 2;
constexpr int largest_kept_block = 128 << 10;
constexpr int largest_kept_top = 1 << 20;

/// One mapping of /proc/self/smaps.
struct Mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool droppable = false;  ///< private, read-only, of a file; and none of its pages was ever written
};

/// The header line of a mapping: "55e0c0000000-55e0c0021000 r-xp 00000000 08:01 123   /usr/bin/x".
bool parse_mapping(const std::string& line, Mapping& mapping) {
  char rights[5] = {};
  int name = 0;
  if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &mapping.begin, &mapping.end, rights,
                  &name) < 3) {
    return false;
  }
  const bool read_only = std::strcmp(rights, "r-xp") == 0 || std::strcmp(rights, "r--p") == 0;
  mapping.droppable = read_only && name > 0 && line.c_str()[name] == '/';
  return true;
}

void drop(const Mapping& mapping) {
  if (mapping.droppable) {
    ::madvise(reinterpret_cast<void*>(mapping.begin), mapping.end - mapping.begin, MADV_DONTNEED);
  }
}

void drop_clean_file_pages() {
  const std::string text = read_file("/proc/self/smaps");
  Mapping mapping;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    Mapping next;
    if (parse_mapping(line, next)) {
      drop(mapping);
      mapping = next;
    } else if ((line.starts_with("Anonymous:") || line.starts_with("Swap:")) &&
               line.find(" 0 kB") == std::string::npos) {
      mapping.droppable = false;  // relocated read-only data: its pages exist nowhere else
    }
  }
  drop(mapping);
}

}  // namespace

void limit_allocator() {
  ::mallopt(M_ARENA_MAX, most_arenas);
  ::mallopt(M_MMAP_THRESHOLD, largest_kept_block);
  ::mallopt(M_TRIM_THRESHOLD, largest_kept_top);
}

void release_free_heap() noexcept { ::malloc_trim(0); }

void release_start_up_pages() noexcept {
  try {
    drop_clean_file_pages();
    release_free_heap();
  } catch (const std::exception& error) {
    log::debug("start-up pages stay", {{"error", error.what()}});
  }
}

}  // namespace mydocker::daemon
