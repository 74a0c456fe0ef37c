// Manifests, indexes and image configs as a registry may send them.

#include <cstdint>
#include <cstdlib>

#include "engine/base/error.h"
#include "image/image_config.h"
#include "image/manifest.h"

namespace {

template <typename Parse>
void expect_refusal_or_value(Parse&& parse) {
  try {
    parse();
  } catch (const mydocker::Error& error) {
    const auto kind = error.kind();
    if (kind != mydocker::ErrorKind::invalid_argument && kind != mydocker::ErrorKind::too_large) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  expect_refusal_or_value([&] { mydocker::image::parse_manifest(input, ""); });
  expect_refusal_or_value(
      [&] { mydocker::image::parse_manifest(input, "application/vnd.oci.image.manifest.v1+json"); });
  expect_refusal_or_value([&] { mydocker::image::parse_image_document(input); });
  return 0;
}
