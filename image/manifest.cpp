#include "image/manifest.h"

#include <algorithm>
#include <array>

#include "image/image_config.h"
#include "image/limits.h"

namespace mydocker::image {

namespace {

struct RawDescriptor {
  std::string media_type;
  std::string digest;
  std::int64_t size = -1;
  std::optional<Platform> platform;
  std::optional<std::map<std::string, std::string>> annotations;

  static constexpr auto json_fields() {
    return std::tuple(field("mediaType", &RawDescriptor::media_type), field("digest", &RawDescriptor::digest),
                      field("size", &RawDescriptor::size), field_omit_empty("platform", &RawDescriptor::platform),
                      field_omit_empty("annotations", &RawDescriptor::annotations));
  }
};

struct RawManifest {
  std::int64_t schema_version = 0;
  std::string media_type;
  std::optional<RawDescriptor> config;
  std::optional<std::vector<RawDescriptor>> layers;
  std::optional<std::vector<RawDescriptor>> manifests;

  static constexpr auto json_fields() {
    return std::tuple(field("schemaVersion", &RawManifest::schema_version),
                      field("mediaType", &RawManifest::media_type), field("config", &RawManifest::config),
                      field("layers", &RawManifest::layers), field("manifests", &RawManifest::manifests));
  }
};

enum class Shape { manifest, index, schema1, unknown };

Error refused(std::string_view why) { return Error(ErrorKind::invalid_argument, concat("manifest: ", why)); }

std::string_view without_parameters(std::string_view media_type) noexcept {
  media_type = media_type.substr(0, media_type.find(';'));
  while (media_type.ends_with(' ')) media_type.remove_suffix(1);
  return media_type;
}

Shape shape_of(std::string_view type) noexcept {
  if (type == media_type::oci_manifest || type == media_type::docker_manifest) return Shape::manifest;
  if (type == media_type::oci_index || type == media_type::docker_list) return Shape::index;
  if (type == media_type::docker_schema1 || type == media_type::docker_schema1_signed) return Shape::schema1;
  return Shape::unknown;
}

Error schema1_refused() {
  return Error(ErrorKind::invalid_argument,
               "image manifest schema 1 is not supported: push the image again with a current tool");
}

Descriptor check_descriptor(RawDescriptor raw, std::string_view what) {
  if (!Digest::is_valid(raw.digest)) throw refused(concat(what, ": invalid digest"));
  if (raw.size < 0) throw refused(concat(what, ": no size"));
  Descriptor out;
  out.media_type = std::move(raw.media_type);
  out.digest = Digest::parse(raw.digest);
  out.size = raw.size;
  out.platform = std::move(raw.platform);
  if (raw.annotations) out.annotations = std::move(*raw.annotations);
  return out;
}

Manifest check_manifest(RawManifest raw, std::string_view type) {
  if (!raw.config) throw refused("no config");
  Manifest out;
  out.media_type = type;
  out.config = check_descriptor(std::move(*raw.config), "config");
  if (out.config.media_type != media_type::oci_config && out.config.media_type != media_type::docker_config) {
    // Artifacts (Helm charts, signatures, policies) share the manifest format but are no images.
    throw refused(concat("unsupported config media type ", out.config.media_type));
  }
  if (static_cast<std::uint64_t>(out.config.size) > max_config_bytes) throw refused("config is too large");
  if (raw.layers) {
    if (raw.layers->size() > max_manifest_layers) throw refused("too many layers");
    for (RawDescriptor& layer : *raw.layers) out.layers.push_back(check_descriptor(std::move(layer), "layer"));
  }
  return out;
}

Index check_index(RawManifest raw, std::string_view type) {
  if (raw.manifests->size() > max_index_descriptors) throw refused("too many manifests in the index");
  Index out;
  out.media_type = type;
  for (RawDescriptor& one : *raw.manifests) out.manifests.push_back(check_descriptor(std::move(one), "manifests"));
  return out;
}

struct Alias {
  std::string_view from;
  std::string_view to;
};
constexpr std::array<Alias, 6> architecture_aliases{{{"x86_64", "amd64"},
                                                     {"x86-64", "amd64"},
                                                     {"aarch64", "arm64"},
                                                     {"armhf", "arm"},
                                                     {"armel", "arm"},
                                                     {"i386", "386"}}};
constexpr std::array<std::string_view, 11> architectures{"amd64",   "arm64",    "arm",   "386",     "ppc64le", "s390x",
                                                         "riscv64", "mips64le", "ppc64", "loong64", "mips64"};

}  // namespace

Platform parse_platform(std::string_view text) {
  Platform out;
  if (text.empty()) {
    out.os = "linux";
    out.architecture = host_architecture();
    return out;
  }
  const auto bad = [&] {
    return Error(ErrorKind::invalid_argument, concat("\"", text, "\": unknown operating system or architecture"));
  };
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    std::string part(text.substr(begin, end - begin));
    std::transform(part.begin(), part.end(), part.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (part.empty() || part.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") != std::string::npos) {
      throw Error(ErrorKind::invalid_argument,
                  concat("\"", part, "\" is an invalid component of \"", text, "\": platform specifier component"));
    }
    parts.push_back(std::move(part));
    begin = end + 1;
  }
  if (parts.size() > 3) throw bad();
  const auto architecture = [](std::string name) {
    for (const Alias& alias : architecture_aliases) {
      if (name == alias.from) return std::string(alias.to);
    }
    return name;
  };
  const auto known = [&](const std::string& name) {
    return std::find(architectures.begin(), architectures.end(), name) != architectures.end();
  };
  if (parts.size() == 1) {
    if (known(architecture(parts[0]))) {
      out.os = "linux";
      out.architecture = architecture(parts[0]);
    } else if (parts[0] == "linux" || parts[0] == "windows" || parts[0] == "darwin" || parts[0] == "freebsd") {
      out.os = parts[0];
      out.architecture = host_architecture();
    } else {
      throw bad();
    }
    return out;
  }
  out.os = parts[0];
  out.architecture = architecture(parts[1]);
  if (parts.size() == 3) out.variant = parts[2];
  if (out.architecture == "arm64" && (out.variant == "8" || out.variant == "v8")) out.variant = "";
  return out;
}

std::string to_string(const Platform& platform) {
  std::string out = concat(platform.os, '/', platform.architecture);
  if (!platform.variant.empty()) out += concat('/', platform.variant);
  return out;
}

bool matches(const Platform& wanted, const Platform& offered) noexcept {
  if (wanted.os != offered.os || wanted.architecture != offered.architecture) return false;
  const auto plain = [](const Platform& p) {
    // v8 is what arm64 means, v1 what amd64 means: naming it or not is the same.
    const bool usual =
        (p.architecture == "arm64" && p.variant == "v8") || (p.architecture == "amd64" && p.variant == "v1");
    return usual ? std::string_view() : std::string_view(p.variant);
  };
  const std::string_view a = plain(wanted);
  const std::string_view b = plain(offered);
  if (wanted.architecture == "amd64") return b.empty() || a == b;  // v2..v4 need instructions nobody asked for
  return a.empty() || b.empty() || a == b;
}

ManifestDocument parse_manifest(std::string_view bytes, std::string_view media_type) {
  if (bytes.size() > max_manifest_bytes) throw refused("too large");
  std::string_view declared = without_parameters(media_type);
  // Some servers call every JSON document that; then the document itself must say what it is.
  if (declared == "application/json" || declared == "application/octet-stream") declared = "";
  if (shape_of(declared) == Shape::schema1) throw schema1_refused();
  if (!declared.empty() && shape_of(declared) == Shape::unknown) {
    throw refused(concat("unsupported media type ", declared));
  }
  const json::value value = parse_json(bytes);
  if (!value.is_object()) throw refused("not an object");
  auto raw = from_json<RawManifest>(value, "manifest");
  if (raw.schema_version == 1) throw schema1_refused();
  if (raw.schema_version != 2) throw refused("unknown schema version");
  const bool looks_like_manifest =
      raw.config.has_value() || raw.layers.has_value() || value.get_object().contains("fsLayers");
  const bool looks_like_index = raw.manifests.has_value();
  if (looks_like_manifest == looks_like_index) {
    throw refused(looks_like_index ? "could be both a manifest and an index" : "neither a manifest nor an index");
  }
  if (!raw.media_type.empty() && !declared.empty() && raw.media_type != declared) {
    throw refused(concat("media type ", raw.media_type, " differs from the announced ", declared));
  }
  std::string type(declared.empty() ? std::string_view(raw.media_type) : declared);
  if (type.empty()) type = looks_like_index ? media_type::oci_index : media_type::oci_manifest;
  const Shape expected = looks_like_index ? Shape::index : Shape::manifest;
  if (shape_of(type) != expected) throw refused(concat("content does not fit its media type ", type));
  ManifestDocument out;
  if (looks_like_index) {
    out.index = check_index(std::move(raw), type);
  } else {
    out.manifest = check_manifest(std::move(raw), type);
  }
  return out;
}

const Descriptor& select_platform(const Index& index, const Platform& wanted) {
  const Descriptor* without_platform = nullptr;
  const Descriptor* found = nullptr;
  for (const Descriptor& one : index.manifests) {
    const Shape shape = shape_of(one.media_type);
    if (shape == Shape::schema1 || shape == Shape::unknown) continue;
    if (!one.platform || one.platform->architecture.empty()) {
      if (without_platform == nullptr) without_platform = &one;
      continue;
    }
    if (!matches(wanted, *one.platform)) continue;
    if (one.platform->variant == wanted.variant) return one;
    if (found == nullptr) found = &one;
  }
  if (found != nullptr) return *found;
  if (index.manifests.size() == 1 && without_platform != nullptr) return *without_platform;
  throw Error(ErrorKind::not_found,
              concat("no matching manifest for ", to_string(wanted), " in the manifest list entries"));
}

std::string manifest_accept_header() {
  return concat(media_type::oci_index, ", ", media_type::docker_list, ", ", media_type::oci_manifest, ", ",
                media_type::docker_manifest, ", ", media_type::docker_schema1_signed, ", application/json;q=0.5");
}

}  // namespace mydocker::image
