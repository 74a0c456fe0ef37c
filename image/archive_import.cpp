#include "engine/base/failpoint.h"
#include "engine/base/time.h"
#include "image/archive.h"
#include "image/decompress.h"
#include "image/http_client.h"
#include "image/layer_hold.h"
#include "image/manifest.h"

namespace mydocker::image {

namespace {

/// One import: everything that can be refused is refused in the constructor, before a byte is read.
class Import {
 public:
  Import(ImageStore& images, const ImportOptions& options, std::string_view source)
      : images_(images), document_(make_document(options, source)), hold_(images.layers()) {
    if (options.reference) {
      if (!options.reference->digest().empty()) {
        throw Error(ErrorKind::invalid_argument, "cannot import digest reference");
      }
      image_.references.push_back(options.reference->with_default_tag());
    }
    writer_ = images.layers().begin();
  }

  storage::LayerWriter& writer() { return *writer_; }

  Image finish(const ProgressSink& sink) {
    failpoint("import.commit");
    const storage::Layer layer = writer_->commit({}, {}, hold_.owner());
    document_.rootfs.diff_ids = {layer.diff_id.text()};
    image_.config_json = make_document_json(document_);
    Image out = images_.add(image_);
    ProgressMessage message;
    message.status = out.id.text();
    sink(message);
    return out;
  }

 private:
  static ImageDocument make_document(const ImportOptions& options, std::string_view source) {
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
    out.comment = options.message.empty() ? concat("Imported from ", source) : options.message;
    out.history.push_back({.created = out.created, .comment = out.comment});
    return out;
  }

  ImageStore& images_;
  ImageDocument document_;
  NewImage image_;
  LayerHold hold_;
  std::unique_ptr<storage::LayerWriter> writer_;
};

}  // namespace

Image import_archive(ImageStore& images, const ImportOptions& options, int fd, const ProgressSink& sink,
                     std::stop_token stop) {
  Import import(images, options, "-");
  decompress_fd(
      fd, [&](std::string_view plain) { import.writer().write(plain); },
      [&](std::uint64_t) {
        if (stop.stop_requested()) throw Error(ErrorKind::unavailable, "import was cancelled");
      });
  return import.finish(sink);
}

Image import_url(ImageStore& images, const ImportOptions& options, const std::string& url, const ProgressSink& sink,
                 std::stop_token stop) {
  const std::string full = url.find("://") == std::string::npos ? concat("http://", url) : url;
  (void)parse_origin(full);  // a bad URL is refused before anything is made
  Import import(images, options, full);
  ProgressMessage message;
  message.status = concat("Downloading from ", full);
  sink(message);
  HttpOptions http;
  http.user_agent = "mydocker";
  HttpSession session(http);
  Decompressor decompressor([&](std::string_view plain) { import.writer().write(plain); });
  session.stream(
      {.url = full},
      [&](const HttpResponse& response) -> HttpSession::Sink {
        if (response.status != 200) {
          throw Error(ErrorKind::internal, concat("failed to GET ", full, " with status ", response.status));
        }
        return [&](std::string_view data) { decompressor.write(data); };
      },
      std::move(stop));
  decompressor.finish();
  return import.finish(sink);
}

}  // namespace mydocker::image
