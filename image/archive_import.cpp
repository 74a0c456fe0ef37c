#include "engine/base/failpoint.h"
#include "engine/base/time.h"
#include "image/archive.h"
#include "image/decompress.h"
#include "image/layer_hold.h"
#include "image/manifest.h"

namespace mydocker::image {

namespace {

ImageDocument make_import_document(const ImportOptions& options) {
  ImageDocument out = make_empty_document();
  if (!options.platform.empty()) {
    const Platform platform = parse_platform(options.platform);
    if (platform.os != "linux") {
      throw Error(ErrorKind::invalid_argument, concat("operating system \"", platform.os, "\" is not supported"));
    }
    out.architecture = platform.architecture;
    out.variant = platform.variant;
  }
  apply_changes(out.config, options.changes);
  out.comment = options.message.empty() ? "Imported from -" : options.message;
  out.history.push_back({.created = out.created, .comment = out.comment});
  return out;
}

}  // namespace

Image import_archive(ImageStore& images, const ImportOptions& options, int fd, const ProgressSink& sink,
                     std::stop_token stop) {
  ImageDocument document = make_import_document(options);
  NewImage image;
  if (options.reference) {
    if (!options.reference->digest().empty()) {
      throw Error(ErrorKind::invalid_argument, "cannot import digest reference");
    }
    image.references.push_back(options.reference->with_default_tag());
  }
  const LayerHold hold(images.layers());
  const auto writer = images.layers().begin();
  decompress_fd(
      fd, [&](std::string_view plain) { writer->write(plain); },
      [&](std::uint64_t) {
        if (stop.stop_requested()) throw Error(ErrorKind::unavailable, "import was cancelled");
      });
  failpoint("import.commit");
  const storage::Layer layer = writer->commit({}, {}, hold.owner());
  document.rootfs.diff_ids = {layer.diff_id.text()};
  image.config_json = make_document_json(document);
  Image out = images.add(image);
  ProgressMessage message;
  message.status = out.id.text();
  sink(message);
  return out;
}

}  // namespace mydocker::image
