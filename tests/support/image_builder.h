#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/json.h"

/// Images made by the test itself: plain tars written byte by byte, so that their digests are known and hostile ones
/// are possible.
namespace mydocker::test {

/// One ustar archive in memory.
class TarBuilder {
 public:
  TarBuilder& directory(const std::string& name, unsigned mode = 0755);
  TarBuilder& file(const std::string& name, std::string_view content, unsigned mode = 0644, unsigned uid = 0,
                   unsigned gid = 0);
  TarBuilder& symlink(const std::string& name, const std::string& target);
  TarBuilder& hard_link(const std::string& name, const std::string& target);
  TarBuilder& device(const std::string& name, char type, unsigned major, unsigned minor, unsigned mode = 0600);
  /// Any header: type is the typeflag.
  TarBuilder& entry(const std::string& name, char type, std::string_view content, const std::string& link_name,
                    unsigned mode, unsigned uid, unsigned gid, unsigned major = 0, unsigned minor = 0);
  /// The archive with its two closing blocks.
  std::string finish() const;

 private:
  std::string bytes_;
};

struct ImageSpec {
  std::string name;                 ///< "payload:latest"
  std::vector<std::string> layers;  ///< plain tars, lowest first
  json::object config = {};         ///< the "config" object of the image config (Cmd, Env, User, ...)
};

struct BuiltImage {
  std::string config;  ///< the image config's bytes; its digest is the image ID
  std::string id;      ///< "sha256:..."
  std::vector<std::string> diff_ids;
};

BuiltImage build_image(const ImageSpec& spec);
/// The archive that `docker save` wrote before version 25 (manifest.json, one directory for each layer).
void write_docker_archive(const std::string& path, const ImageSpec& spec);
/// An OCI layout as a tar; layers stay uncompressed. `gzip` compresses them.
void write_oci_archive(const std::string& path, const ImageSpec& spec, bool gzip_layers = false);

/// The layer that every test image begins with: /payload, a static busybox with its applets, /etc/passwd and the like.
std::string base_layer();
/// "payload:latest": the base layer; the command is ["/payload", "pause"].
ImageSpec payload_image();

std::string gzip(std::string_view bytes);

}  // namespace mydocker::test
