#pragma once

#include <string>
#include <string_view>

#include "engine/base/digest.h"

/// Names of images (WIRE 20; the grammar is distribution's "reference"). Pure values; any thread; nothing blocks.
namespace mydocker::image {

/// `host[:port]/path[:tag][@digest]`, normalised: a value of this type is always valid and has a host.
///
///   Reference::parse("busybox")  host docker.io, path library/busybox, no tag;  familiar() "busybox"
class Reference {
 public:
  Reference() = default;
  /// Throws Error{invalid_argument} with Docker's texts: "invalid reference format", "invalid reference format:
  /// repository name (X) must be lowercase", "invalid repository name (X), cannot specify 64-byte hexadecimal strings".
  static Reference parse(std::string_view text);
  /// fromImage + tag of the API: `tag_or_digest` may be empty, a tag or "sha256:...". A trailing ':' of `name` is
  /// ignored. "scratch" is refused.
  static Reference parse(std::string_view name, std::string_view tag_or_digest);

  const std::string& host() const { return host_; }
  const std::string& path() const { return path_; }
  const std::string& tag() const { return tag_; }   ///< empty: none
  const Digest& digest() const { return digest_; }  ///< empty: none
  bool empty() const { return path_.empty(); }

  /// "docker.io/library/busybox": the key of everything that is stored.
  std::string repository() const;
  /// "busybox" or "registry.example:5000/team/app".
  std::string familiar_repository() const;
  /// What people see: familiar repository with ":tag" and "@digest" where they are there.
  std::string familiar() const;
  /// The same on the full repository.
  std::string canonical() const;

  /// With the tag "latest" when there is neither tag nor digest.
  Reference with_default_tag() const;
  /// Throws Error{invalid_argument} "invalid tag format".
  Reference with_tag(std::string_view tag) const;
  Reference with_digest(const Digest& digest) const;
  Reference without_tag_and_digest() const;

  bool operator==(const Reference&) const = default;

 private:
  std::string host_;
  std::string path_;
  std::string tag_;
  Digest digest_;
};

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
bool is_valid_tag(std::string_view tag) noexcept;
/// 64 lower-case hex digits with or without "sha256:": a full image ID, which is never a name.
bool is_image_id(std::string_view text) noexcept;
/// Lower-case hex digits only, 1 to 64 of them (with or without "sha256:"): may be the beginning of an image ID.
bool is_id_prefix(std::string_view text) noexcept;

}  // namespace mydocker::image
