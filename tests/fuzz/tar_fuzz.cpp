// The tar reader: every byte is given away exactly once, whatever the archive says about itself.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "engine/base/error.h"
#include "storage/tar_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mydocker;
  std::size_t position = 0;
  std::size_t given = 0;
  const auto source = [&](char* buffer, std::size_t capacity) {
    const std::size_t part = std::min(capacity, size - position);
    std::memcpy(buffer, data + position, part);
    position += part;
    return part;
  };
  try {
    storage::TarReader reader(source, [&](std::string_view bytes) { given += bytes.size(); }, {});
    while (reader.next()) {
      while (const std::optional<storage::TarData> piece = reader.read_data()) given += piece->bytes.size();
    }
    reader.drain();
    if (given != size) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::invalid_argument && error.kind() != ErrorKind::too_large) std::abort();
  }
  return 0;
}
