#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "image/image_store.h"
#include "image/progress.h"
#include "image/reference.h"

/// Images as tar streams: `load`, `save`, `import` (WIRE 19.3; Docker image spec v1.2 and OCI image-layout.md).
/// Any thread; all functions block on the stream and the disk. The descriptors stay the caller's.
namespace mydocker::image {

struct LoadOptions {
  std::string tmp_dir;   ///< on the data-root's file system: entries are spooled here, never held in memory
  std::string platform;  ///< which image of an index; empty: this machine's
  bool quiet = false;    ///< no lines per layer
};

/// One image of an archive.
struct LoadedImage {
  Digest id;
  std::vector<std::string> names;  ///< familiar; empty: untagged
  Digest manifest_digest;          ///< of an OCI archive's manifest; empty for others
};

/// Reads a docker-save or OCI archive, plain or gzip, xz, zstd, bzip2. Lines "Loaded image: x" and "Loaded image ID: x"
/// go to the sink. Nothing of an image stays when it fails. Throws Error{invalid_argument} for what is no image archive
/// or does not match its digests, Error{unavailable} when stopped.
std::vector<LoadedImage> load_archive(ImageStore& images, const LoadOptions& options, int fd, const ProgressSink& sink,
                                      std::stop_token stop = {});

/// Names resolved for save before the first byte is written, so that an unknown one is still a proper 404.
struct SavePlan {
  struct Entry {
    Image image;
    std::vector<Reference> names;  ///< empty: saved by ID
  };
  std::vector<Entry> entries;
};
/// Throws Error{not_found} "No such image: x". A repository without a tag means all of its tags.
SavePlan plan_save(const ImageStore& images, const std::vector<std::string>& names);
/// Writes the OCI layout plus manifest.json and repositories; layers are bit for bit what was once loaded or pulled.
void save_archive(const ImageStore& images, const SavePlan& plan, int out_fd, std::stop_token stop = {});

struct ImportOptions {
  std::optional<Reference> reference;  ///< with or without tag (latest)
  std::vector<std::string> changes;    ///< Dockerfile lines
  std::string message;                 ///< the comment; empty: "Imported from -"
  std::string platform;
};

/// A root file system (tar, plain or compressed) becomes an image of one layer; the line {"status":"sha256:..."} goes
/// to the sink. Throws Error{invalid_argument} for bad changes (before reading) and for what is no tar.
Image import_archive(ImageStore& images, const ImportOptions& options, int fd, const ProgressSink& sink,
                     std::stop_token stop = {});
/// The same from an http(s) URL ("http://" is put before one without a scheme); plain, gzip or zstd. The line
/// "Downloading from x" comes first. Redirects are followed within the limits of SECURITY 7.
Image import_url(ImageStore& images, const ImportOptions& options, const std::string& url, const ProgressSink& sink,
                 std::stop_token stop = {});

}  // namespace mydocker::image
