#pragma once

#include <string>
#include <string_view>

namespace mydocker::cli {

/// An image reference as users type it (WIRE 20).
struct ImageReference {
  std::string domain;  ///< "docker.io", "127.0.0.1:5000"
  std::string path;    ///< "library/busybox"
  std::string tag;     ///< "" = none given
  std::string digest;  ///< "sha256:..." or ""

  /// "busybox", "127.0.0.1:5000/app": what users see.
  std::string familiar_name() const;
  /// "docker.io/library/busybox:latest": in full, with the default tag when none is given.
  std::string canonical() const;
  /// familiar_name with tag (default latest) or digest.
  std::string familiar() const;
};

/// Throws Error{invalid_argument} "invalid reference format: repository name (library/Bad) must be lowercase". Pure.
ImageReference parse_reference(std::string_view text);

}  // namespace mydocker::cli
