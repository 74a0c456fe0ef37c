#include "image/image_config.h"

#include <algorithm>
#include <array>

#include "engine/base/error.h"
#include "engine/base/time.h"
#include "image/limits.h"

namespace mydocker::image {

namespace {

/// Labels that a daemon gives meaning to; from an image they are only text that somebody else wrote (SECURITY R10).
constexpr std::array<std::string_view, 3> reserved_label_prefixes{"mydocker.internal.", "io.mydocker.internal.",
                                                                  "containerd.io/"};

bool is_reserved_label(std::string_view key) noexcept {
  return std::any_of(reserved_label_prefixes.begin(), reserved_label_prefixes.end(),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
}

void check_labels(std::map<std::string, std::string>& labels) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : labels) bytes += key.size() + value.size();
  if (bytes > max_labels_bytes) throw Error(ErrorKind::invalid_argument, "image config: labels are too large");
  std::erase_if(labels, [](const auto& one) { return is_reserved_label(one.first); });
}

}  // namespace

ImageDocument parse_image_document(std::string_view bytes) {
  if (bytes.size() > max_config_bytes) throw Error(ErrorKind::invalid_argument, "image config: too large");
  const json::value value = parse_json(bytes);
  if (!value.is_object()) throw Error(ErrorKind::invalid_argument, "image config: not an object");
  auto out = from_json<ImageDocument>(value, "image config");
  if (!value.get_object().contains("rootfs")) {
    throw Error(ErrorKind::invalid_argument, "image config: no rootfs");
  }
  if (out.rootfs.type != "layers") throw Error(ErrorKind::invalid_argument, "image config: unknown rootfs type");
  if (out.rootfs.diff_ids.size() > max_manifest_layers) {
    throw Error(ErrorKind::invalid_argument, "image config: too many layers");
  }
  for (const std::string& diff_id : out.rootfs.diff_ids) {
    if (!Digest::is_valid(diff_id)) throw Error(ErrorKind::invalid_argument, "image config: invalid diff ID");
  }
  if (out.config.labels) check_labels(*out.config.labels);
  return out;
}

std::string make_document_json(const ImageDocument& document) { return write_json(to_json(document)); }

std::vector<Digest> diff_ids_of(const ImageDocument& document) {
  std::vector<Digest> out;
  out.reserve(document.rootfs.diff_ids.size());
  for (const std::string& text : document.rootfs.diff_ids) out.push_back(Digest::parse(text));
  return out;
}

ImageDocument make_empty_document() {
  ImageDocument out;
  out.created = to_rfc3339(now());
  out.architecture = host_architecture();
  out.os = "linux";
  return out;
}

std::string_view host_architecture() noexcept {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#elif defined(__riscv)
  return "riscv64";
#else
#error "name this architecture as Go does"
#endif
}

}  // namespace mydocker::image
