#pragma once

#include "api/types/container.h"
#include "api/types/json.h"

/// Images on the wire (Engine API v1.51; WIRE 19, 21).
namespace mydocker::api {

/// One element of GET /images/json.
struct ImageSummary {
  std::int64_t containers = -1;  ///< -1 = not counted (below 1.51 always)
  std::int64_t created_s = 0;
  std::string id;
  std::optional<StringMap> labels;
  std::string parent_id;
  StringList repo_digests;
  StringList repo_tags;
  std::int64_t shared_size_bytes = -1;  ///< -1 unless asked for
  std::int64_t size_bytes = 0;
  std::optional<std::int64_t> virtual_size_bytes;  ///< below 1.44 only

  static constexpr auto json_fields() {
    using T = ImageSummary;
    return std::tuple(field("Containers", &T::containers), field("Created", &T::created_s), field("Id", &T::id),
                      field("Labels", &T::labels), field("ParentId", &T::parent_id),
                      field("RepoDigests", &T::repo_digests), field("RepoTags", &T::repo_tags),
                      field("SharedSize", &T::shared_size_bytes), field("Size", &T::size_bytes),
                      field_omit_empty("VirtualSize", &T::virtual_size_bytes));
  }
};

/// Config of ImageInspect: the part of an image's configuration that containers inherit.
struct ImageConfig {
  std::string user;
  NameSet exposed_ports;
  std::optional<StringList> env;
  std::optional<CommandLine> cmd;
  std::optional<HealthConfig> healthcheck;
  bool args_escaped = false;
  std::optional<NameSet> volumes;
  std::string working_dir;
  std::optional<CommandLine> entrypoint;
  std::optional<StringList> on_build;
  std::optional<StringMap> labels;
  std::string stop_signal;
  CommandLine shell;

  static constexpr auto json_fields() {
    using T = ImageConfig;
    return std::tuple(field("User", &T::user), field_omit_empty("ExposedPorts", &T::exposed_ports),
                      field("Env", &T::env), field("Cmd", &T::cmd), field_omit_empty("Healthcheck", &T::healthcheck),
                      field_omit_empty("ArgsEscaped", &T::args_escaped), field("Volumes", &T::volumes),
                      field("WorkingDir", &T::working_dir), field("Entrypoint", &T::entrypoint),
                      field("OnBuild", &T::on_build), field("Labels", &T::labels),
                      field_omit_empty("StopSignal", &T::stop_signal), field_omit_empty("Shell", &T::shell));
  }
};

struct RootFs {
  std::string type = "layers";
  StringList layers;  ///< diff IDs, base first

  static constexpr auto json_fields() {
    return std::tuple(field("Type", &RootFs::type), field_omit_empty("Layers", &RootFs::layers));
  }
};

struct ImageMetadata {
  Timestamp last_tag_time;

  static constexpr auto json_fields() { return std::tuple(field("LastTagTime", &ImageMetadata::last_tag_time)); }
};

/// GET /images/{name}/json.
struct ImageInspect {
  std::string id;
  StringList repo_tags;
  StringList repo_digests;
  std::string parent;
  std::string comment;
  Timestamp created;
  std::string docker_version;
  std::string author;
  ImageConfig config;
  std::string architecture;  ///< Go naming: amd64, arm64
  std::string variant;
  std::string os;
  std::string os_version;
  std::int64_t size_bytes = 0;
  std::optional<std::int64_t> virtual_size_bytes;  ///< below 1.44 only
  GraphDriver graph_driver;
  RootFs root_fs;
  ImageMetadata metadata;

  static constexpr auto json_fields() {
    using T = ImageInspect;
    return std::tuple(field("Id", &T::id), field("RepoTags", &T::repo_tags), field("RepoDigests", &T::repo_digests),
                      field("Parent", &T::parent), field("Comment", &T::comment), field("Created", &T::created),
                      field("DockerVersion", &T::docker_version), field("Author", &T::author),
                      field("Config", &T::config), field("Architecture", &T::architecture),
                      field_omit_empty("Variant", &T::variant), field("Os", &T::os),
                      field_omit_empty("OsVersion", &T::os_version), field("Size", &T::size_bytes),
                      field_omit_empty("VirtualSize", &T::virtual_size_bytes), field("GraphDriver", &T::graph_driver),
                      field("RootFS", &T::root_fs), field("Metadata", &T::metadata));
  }
};

/// One element of GET /images/{name}/history, newest first.
struct HistoryItem {
  std::string comment;
  std::int64_t created_s = 0;
  std::string created_by;
  std::string id;  ///< "<missing>" when the step's image is not here
  std::int64_t size_bytes = 0;
  std::optional<StringList> tags;

  static constexpr auto json_fields() {
    using T = HistoryItem;
    return std::tuple(field("Comment", &T::comment), field("Created", &T::created_s),
                      field("CreatedBy", &T::created_by), field("Id", &T::id), field("Size", &T::size_bytes),
                      field("Tags", &T::tags));
  }
};

/// One element of the answer of DELETE /images/{name}: one of the two is set.
struct DeleteItem {
  std::string untagged;
  std::string deleted;

  bool operator==(const DeleteItem&) const = default;
  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("Untagged", &DeleteItem::untagged),
                      field_omit_empty("Deleted", &DeleteItem::deleted));
  }
};

struct ImagesPruneReport {
  std::optional<std::vector<DeleteItem>> images_deleted;
  std::uint64_t space_reclaimed_bytes = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("ImagesDeleted", &ImagesPruneReport::images_deleted),
                      field("SpaceReclaimed", &ImagesPruneReport::space_reclaimed_bytes));
  }
};

}  // namespace mydocker::api
