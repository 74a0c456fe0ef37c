#pragma once

#include <string>

#include "engine/base/process.h"
#include "tests/unit/image/fake_registry.h"
#include "tests/unit/image/image_fixture.h"

namespace mydocker::image::test {

/// Debian's docker-registry on a free port of 127.0.0.1, with its storage in a directory of its own. Ends with the
/// object.
class LocalRegistry {
 public:
  LocalRegistry();

  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string reference(const std::string& name) const { return host() + "/" + name; }
  Digest push_image(const std::string& name, const std::string& tag, const TestImage& image,
                    const FakeRegistry::Compress& compress);
  void push_blob(const std::string& name, const std::string& bytes);
  Digest push_manifest(const std::string& name, const std::string& tag, const std::string& bytes,
                       std::string_view type);
  /// Where the registry keeps this blob's bytes.
  std::string blob_file(const Digest& digest) const;

 private:
  mydocker::test::TempTree root_;
  int port_ = 0;
  UniqueFd log_;
  Process process_;
};

}  // namespace mydocker::image::test
