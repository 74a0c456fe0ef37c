#pragma once

#include "api/types/json.h"

/// Volumes on the wire (Engine API v1.51; WIRE 25).
namespace mydocker::api {

struct VolumeUsage {
  std::int64_t reference_count = 0;
  std::int64_t size_bytes = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("RefCount", &VolumeUsage::reference_count), field("Size", &VolumeUsage::size_bytes));
  }
};

struct Volume {
  Timestamp created_at;
  std::string driver;
  std::optional<StringMap> labels;
  std::string mountpoint;
  std::string name;
  std::optional<StringMap> options;
  std::string scope;
  std::optional<VolumeUsage> usage_data;  ///< only in /system/df

  static constexpr auto json_fields() {
    using T = Volume;
    return std::tuple(field("CreatedAt", &T::created_at), field("Driver", &T::driver), field("Labels", &T::labels),
                      field("Mountpoint", &T::mountpoint), field("Name", &T::name), field("Options", &T::options),
                      field("Scope", &T::scope), field_omit_empty("UsageData", &T::usage_data));
  }
};

/// GET /volumes.
struct VolumeList {
  std::vector<Volume> volumes;
  std::optional<StringList> warnings;

  static constexpr auto json_fields() {
    return std::tuple(field("Volumes", &VolumeList::volumes), field("Warnings", &VolumeList::warnings));
  }
};

/// POST /volumes/create.
struct VolumeCreateRequest {
  std::string name;
  std::string driver;
  std::optional<StringMap> driver_opts;
  std::optional<StringMap> labels;

  static constexpr auto json_fields() {
    using T = VolumeCreateRequest;
    return std::tuple(field("Name", &T::name), field("Driver", &T::driver), field("DriverOpts", &T::driver_opts),
                      field("Labels", &T::labels));
  }
};

struct VolumesPruneReport {
  std::optional<StringList> volumes_deleted;
  std::uint64_t space_reclaimed_bytes = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("VolumesDeleted", &VolumesPruneReport::volumes_deleted),
                      field("SpaceReclaimed", &VolumesPruneReport::space_reclaimed_bytes));
  }
};

}  // namespace mydocker::api
