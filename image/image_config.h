#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/base/digest.h"
#include "engine/base/json.h"

/// The image config document (OCI image-spec, config.md, plus Docker's additions). Pure values; any thread.
namespace mydocker::image {

/// Healthcheck of an image; durations in nanoseconds.
struct HealthConfig {
  std::optional<std::vector<std::string>> test;
  std::int64_t interval = 0;
  std::int64_t timeout = 0;
  std::int64_t start_period = 0;
  std::int64_t start_interval = 0;
  std::int64_t retries = 0;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("Test", &HealthConfig::test),
                      field_omit_empty("Interval", &HealthConfig::interval),
                      field_omit_empty("Timeout", &HealthConfig::timeout),
                      field_omit_empty("StartPeriod", &HealthConfig::start_period),
                      field_omit_empty("StartInterval", &HealthConfig::start_interval),
                      field_omit_empty("Retries", &HealthConfig::retries));
  }
};

/// "config" of the document: what a container of this image gets unless its request says otherwise. An absent list is
/// different from an empty one (Docker shows null).
struct ImageConfig {
  std::string user;
  std::map<std::string, EmptyObject> exposed_ports;  ///< "80/tcp"
  std::optional<std::vector<std::string>> env;
  std::optional<std::vector<std::string>> entrypoint;
  std::optional<std::vector<std::string>> cmd;
  std::map<std::string, EmptyObject> volumes;
  std::string working_dir;
  std::optional<std::map<std::string, std::string>> labels;
  std::string stop_signal;
  std::optional<std::int64_t> stop_timeout;
  std::optional<HealthConfig> healthcheck;
  std::optional<std::vector<std::string>> on_build;
  std::optional<std::vector<std::string>> shell;
  bool args_escaped = false;

  static constexpr auto json_fields() {
    return std::tuple(
        field_omit_empty("User", &ImageConfig::user), field_omit_empty("ExposedPorts", &ImageConfig::exposed_ports),
        field_omit_empty("Env", &ImageConfig::env), field_omit_empty("Entrypoint", &ImageConfig::entrypoint),
        field_omit_empty("Cmd", &ImageConfig::cmd), field_omit_empty("Healthcheck", &ImageConfig::healthcheck),
        field_omit_empty("ArgsEscaped", &ImageConfig::args_escaped), field_omit_empty("Volumes", &ImageConfig::volumes),
        field_omit_empty("WorkingDir", &ImageConfig::working_dir), field_omit_empty("OnBuild", &ImageConfig::on_build),
        field_omit_empty("Labels", &ImageConfig::labels), field_omit_empty("StopSignal", &ImageConfig::stop_signal),
        field_omit_empty("StopTimeout", &ImageConfig::stop_timeout), field_omit_empty("Shell", &ImageConfig::shell));
  }
};

struct HistoryEntry {
  std::string created;  ///< RFC 3339 or empty
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;

  static constexpr auto json_fields() {
    return std::tuple(
        field_omit_empty("created", &HistoryEntry::created), field_omit_empty("created_by", &HistoryEntry::created_by),
        field_omit_empty("author", &HistoryEntry::author), field_omit_empty("comment", &HistoryEntry::comment),
        field_omit_empty("empty_layer", &HistoryEntry::empty_layer));
  }
};

struct RootFs {
  std::string type = "layers";
  std::vector<std::string> diff_ids;

  static constexpr auto json_fields() {
    return std::tuple(field("type", &RootFs::type), field("diff_ids", &RootFs::diff_ids));
  }
};

/// The whole document. The bytes it was read from are the image's identity: to change an image, change a copy of this
/// and write new bytes with make_document_json.
struct ImageDocument {
  std::string created;  ///< RFC 3339 or empty
  std::string author;
  std::string architecture;  ///< Go's name: amd64
  std::string variant;
  std::string os;
  std::string os_version;
  std::string docker_version;
  std::string comment;
  std::string parent;  ///< image ID of the parent that it was committed from; only on images made here
  ImageConfig config;
  RootFs rootfs;
  std::vector<HistoryEntry> history;

  static constexpr auto json_fields() {
    return std::tuple(
        field_omit_empty("created", &ImageDocument::created), field_omit_empty("author", &ImageDocument::author),
        field("architecture", &ImageDocument::architecture), field_omit_empty("variant", &ImageDocument::variant),
        field("os", &ImageDocument::os), field_omit_empty("os.version", &ImageDocument::os_version),
        field_omit_empty("docker_version", &ImageDocument::docker_version),
        field_omit_empty("comment", &ImageDocument::comment), field_omit_empty("parent", &ImageDocument::parent),
        field("config", &ImageDocument::config), field("rootfs", &ImageDocument::rootfs),
        field_omit_empty("history", &ImageDocument::history));
  }
};

/// Reads and checks a document from outside: size, depth, layer count, diff IDs (SECURITY R8, section 7); labels in
/// namespaces reserved for the engine are dropped (R10). Throws Error{invalid_argument}.
ImageDocument parse_image_document(std::string_view bytes);
/// Deterministic bytes for a new image.
std::string make_document_json(const ImageDocument& document);
/// The diff IDs as digests, bottom layer first. Throws Error{invalid_argument}.
std::vector<Digest> diff_ids_of(const ImageDocument& document);
/// A document for this machine (os linux, Go's architecture name), created now, without layers.
ImageDocument make_empty_document();

/// `changes` of import and commit: Dockerfile lines CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR
/// (STOPSIGNAL, HEALTHCHECK too), applied in order. Throws Error{invalid_argument} with Docker's texts.
void apply_changes(ImageConfig& config, const std::vector<std::string>& lines);

/// "amd64", "arm64": Go's name of the machine's architecture.
std::string_view host_architecture() noexcept;

}  // namespace mydocker::image
