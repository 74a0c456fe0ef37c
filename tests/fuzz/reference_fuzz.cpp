// Image references: a text that is accepted has one familiar form, which parses to the same reference.

#include <cstdint>
#include <cstdlib>

#include "engine/base/error.h"
#include "image/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const auto reference = mydocker::image::Reference::parse(input);
    if (!(mydocker::image::Reference::parse(reference.familiar()) == reference)) std::abort();
  } catch (const mydocker::Error& error) {
    if (error.kind() != mydocker::ErrorKind::invalid_argument) std::abort();
  }
  return 0;
}
