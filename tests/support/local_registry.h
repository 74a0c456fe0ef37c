#pragma once

#include <optional>
#include <string>

#include "tests/support/command.h"
#include "tests/support/image_builder.h"

namespace mydocker::test {

/// Debian's docker-registry on 127.0.0.1:5000 of the test's own network namespace; images are put into its storage as
/// files. Ends with the object.
class LocalRegistry {
 public:
  static constexpr const char* address = "127.0.0.1:5000";

  /// Keeps all below `directory`. Returns once it listens; throws Error{internal} with its words when it does not.
  explicit LocalRegistry(std::string directory);

  /// Writes the image under repository:tag; gives the manifest's digest. Its layers are compressed unless told.
  std::string publish(const ImageSpec& image, const std::string& repository, const std::string& tag,
                      bool compressed = true);
  /// Where the bytes of a blob lie.
  std::string blob_path(const std::string& digest) const;
  /// Replaces a file, making its directories.
  static void put(const std::string& path, std::string_view content);

 private:
  json::object put_blob(const std::string& repository, const std::string& bytes, const std::string& type);

  std::string storage_;
  std::optional<RunningCommand> process_;
};

}  // namespace mydocker::test
