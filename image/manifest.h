#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/base/digest.h"
#include "engine/base/json.h"

/// Manifests and indexes (OCI image-spec manifest.md, image-index.md; Docker "Image Manifest V 2, Schema 2").
/// Pure functions on bytes from outside; any thread.
namespace mydocker::image {

namespace media_type {
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view oci_config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view oci_layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_list = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view docker_schema1 = "application/vnd.docker.distribution.manifest.v1+json";
inline constexpr std::string_view docker_schema1_signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
}  // namespace media_type

struct Platform {
  std::string architecture;
  std::string os;
  std::string os_version;
  std::string variant;

  static constexpr auto json_fields() {
    return std::tuple(field("architecture", &Platform::architecture), field("os", &Platform::os),
                      field_omit_empty("os.version", &Platform::os_version),
                      field_omit_empty("variant", &Platform::variant));
  }
};

/// "linux", "linux/arm64", "linux/arm/v7", "arm64": Go's normal form. Throws Error{invalid_argument}. Empty = this
/// machine's.
Platform parse_platform(std::string_view text);
std::string to_string(const Platform& platform);
/// Whether an image for `offered` runs where `wanted` is asked for; variants matter only when both name one.
bool matches(const Platform& wanted, const Platform& offered) noexcept;

/// Media type, digest and size of a blob: what is not exactly so is not it.
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::int64_t size = 0;
  std::optional<Platform> platform;
  std::map<std::string, std::string> annotations;
};

struct Manifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  ///< bottom first
};

struct Index {
  std::string media_type;
  std::vector<Descriptor> manifests;
};

/// Exactly one of the two is set.
struct ManifestDocument {
  std::optional<Manifest> manifest;
  std::optional<Index> index;
};

/// Reads a manifest or an index within the limits of SECURITY 7. `media_type` is what the descriptor or the
/// Content-Type header said (parameters like charset are ignored; may be empty only for an OCI layout that says
/// nothing): it must agree with the document, and a document that could be both is refused (SECURITY R8).
/// Throws Error{invalid_argument}.
ManifestDocument parse_manifest(std::string_view bytes, std::string_view media_type);

/// The descriptor for the platform. Throws Error{not_found} "no matching manifest for linux/arm64 in the manifest list
/// entries".
const Descriptor& select_platform(const Index& index, const Platform& wanted);

/// The Accept header of manifest requests.
std::string manifest_accept_header();

}  // namespace mydocker::image
