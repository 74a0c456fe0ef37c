#include "engine/mount_plan.h"

#include <algorithm>
#include <array>
#include <set>

#include "engine/base/error.h"
#include "engine/base/path.h"
#include "storage/paths.h"

namespace mydocker::engine {
namespace {

constexpr std::array<std::string_view, 6> propagations = {"private", "rprivate", "shared",
                                                          "rshared", "slave",    "rslave"};

[[noreturn]] void invalid(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

void check_target(const std::string& target, std::string_view type) {
  if (target.empty()) invalid(concat("invalid mount config for type \"", type, "\": field Target must not be empty"));
  if (target.front() != '/') {
    invalid(concat("invalid mount config for type \"", type, "\": invalid mount path: '", target,
                   "' mount path must be absolute"));
  }
  if (clean_path(target) == "/") {
    invalid(concat("invalid mount config for type \"", type, "\": invalid specification: destination can't be '/'"));
  }
}

void apply_bind_options(const std::string& mode, PlannedMount& mount) {
  if (mode.empty()) return;
  bool access_given = false;
  for (const std::string& word : split(mode, ',')) {
    const bool propagation = std::find(propagations.begin(), propagations.end(), word) != propagations.end();
    if (word == "ro" || word == "rw") {
      if (access_given) invalid(concat("invalid mode: ", mode));
      access_given = true;
      mount.read_only = word == "ro";
    } else if (propagation) {
      if (mount.kind != PlannedMount::Kind::bind || !mount.propagation.empty()) invalid(concat("invalid mode: ", mode));
      mount.propagation = word;
    } else if (word == "nocopy") {
      mount.no_copy = true;
    } else if (word != "z" && word != "Z" && word != "cached" && word != "delegated" && word != "consistent") {
      invalid(concat("invalid mode: ", mode));
    }
  }
}

PlannedMount parse_bind(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[1].empty()) {
    invalid(concat("invalid volume specification: '", text, "'"));
  }
  PlannedMount mount;
  if (parts[0].front() == '/') {
    mount.source = clean_path(parts[0]);
    mount.create_source = true;
  } else {
    if (parts[0].size() == 1) {
      invalid(concat("create ", parts[0],
                     ": volume name is too short, names should be at least two alphanumeric characters"));
    }
    if (!storage::is_volume_name(parts[0])) {
      invalid(concat("create ", parts[0], ": \"", parts[0],
                     "\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are "
                     "allowed. If you intended to pass a host directory, use absolute path"));
    }
    mount.kind = PlannedMount::Kind::volume;
    mount.source = parts[0];
  }
  try {
    check_target(parts[1], mount.kind == PlannedMount::Kind::volume ? "volume" : "bind");
  } catch (const Error& e) {
    invalid(concat("invalid volume specification: '", text, "': ", e.message()));
  }
  mount.target = clean_path(parts[1]);
  mount.mode = parts.size() == 3 ? parts[2] : "";
  apply_bind_options(mount.mode, mount);
  if (mount.kind == PlannedMount::Kind::bind && mount.propagation.empty()) mount.propagation = "rprivate";
  if (mount.kind == PlannedMount::Kind::volume && mount.mode.empty()) mount.mode = "z";
  return mount;
}

void refuse_foreign_options(const api::Mount& mount) {
  const auto refuse = [&](bool present, std::string_view name) {
    if (present) {
      invalid(concat("invalid mount config for type \"", mount.type, "\": ", name,
                     " must not be specified on mount type \"", mount.type, "\""));
    }
  };
  refuse(mount.bind_options.has_value() && mount.type != "bind", "BindOptions");
  refuse(mount.volume_options.has_value() && mount.type != "volume", "VolumeOptions");
  refuse(mount.tmpfs_options.has_value() && mount.type != "tmpfs", "TmpfsOptions");
  refuse(mount.image_options.has_value() && mount.type != "image", "ImageOptions");
}

void check_read_only_options(const api::Mount& wanted, const api::BindOptions& options) {
  const auto refuse = [](std::string_view why) { invalid(concat("invalid mount config for type \"bind\": ", why)); };
  if (options.read_only_non_recursive && !wanted.read_only) {
    refuse("mode must be read-only when ReadOnlyNonRecursive is specified");
  }
  if (!options.read_only_force_recursive) return;
  if (!wanted.read_only) refuse("mode must be read-only when ReadOnlyForceRecursive is specified");
  if (options.read_only_non_recursive) {
    refuse("ReadOnlyForceRecursive and ReadOnlyNonRecursive must not be specified together");
  }
  if (options.non_recursive) refuse("ReadOnlyForceRecursive and NonRecursive must not be specified together");
  if (!options.propagation.empty() && options.propagation != "rprivate") {
    refuse("Propagation must be rprivate when ReadOnlyForceRecursive is specified");
  }
}

PlannedMount plan_bind_mount(const api::Mount& wanted) {
  PlannedMount mount;
  if (wanted.source.empty()) invalid("invalid mount config for type \"bind\": field Source must not be empty");
  if (wanted.source.front() != '/') {
    invalid(concat("invalid mount config for type \"bind\": invalid mount path: '", wanted.source,
                   "' mount path must be absolute"));
  }
  mount.source = clean_path(wanted.source);
  mount.propagation = "rprivate";
  if (wanted.bind_options) {
    const api::BindOptions& options = *wanted.bind_options;
    if (!options.propagation.empty()) {
      if (std::find(propagations.begin(), propagations.end(), options.propagation) == propagations.end()) {
        invalid(concat("invalid mount config for type \"bind\": invalid propagation mode: ", options.propagation));
      }
      mount.propagation = options.propagation;
    }
    mount.recursive = !options.non_recursive;
    mount.create_source = options.create_mountpoint;
    mount.read_only_recursive = !options.read_only_non_recursive;
    check_read_only_options(wanted, options);
  }
  return mount;
}

PlannedMount plan_tmpfs_mount(const api::Mount& wanted) {
  PlannedMount mount;
  mount.kind = PlannedMount::Kind::tmpfs;
  if (!wanted.source.empty()) invalid("invalid mount config for type \"tmpfs\": field Source must not be specified");
  mount.tmpfs_options = {"nosuid", "nodev"};
  bool exec_given = false;
  if (wanted.tmpfs_options) {
    const api::TmpfsOptions& options = *wanted.tmpfs_options;
    if (options.size_bytes < 0) invalid("invalid mount config for type \"tmpfs\": size cannot be negative");
    if (options.size_bytes > 0) mount.tmpfs_options.push_back(concat("size=", options.size_bytes));
    if (options.mode != 0) {
      std::string octal;
      for (std::uint32_t rest = options.mode & 07777; rest != 0; rest /= 8) {
        octal.insert(octal.begin(), static_cast<char>('0' + rest % 8));
      }
      mount.tmpfs_options.push_back("mode=" + octal);
    }
    for (const api::StringList& option : options.options) {
      if (option.empty() || option.size() > 2)
        invalid("invalid mount config for type \"tmpfs\": invalid option array length");
      exec_given = exec_given || option[0] == "exec" || option[0] == "noexec";
      mount.tmpfs_options.push_back(option.size() == 2 ? concat(option[0], "=", option[1]) : option[0]);
    }
  }
  if (!exec_given) mount.tmpfs_options.push_back("noexec");
  return mount;
}

/// Clean and without a way out: "../x" is refused, whatever symlinks the volume or image holds is the start's business.
std::string check_subpath(const std::string& subpath, std::string_view type) {
  if (subpath.empty()) return subpath;
  int depth = 0;
  for (const std::string& part : split(subpath, '/')) {
    if (part == "..") {
      --depth;
    } else if (!part.empty() && part != ".") {
      ++depth;
    }
    if (depth < 0) break;
  }
  if (subpath.front() == '/' || depth < 0) {
    invalid(concat("invalid mount config for type \"", type, "\": subpath must be a relative path within the ", type));
  }
  const std::string clean = clean_path("/" + subpath);
  return clean == "/" ? "" : clean.substr(1);
}

PlannedMount plan_volume_mount(const api::Mount& wanted) {
  PlannedMount mount;
  mount.kind = PlannedMount::Kind::volume;
  mount.source = wanted.source;
  mount.mode = "z";
  if (!wanted.volume_options) return mount;
  const api::VolumeOptions& options = *wanted.volume_options;
  mount.no_copy = options.no_copy || !options.subpath.empty();
  mount.subpath = check_subpath(options.subpath, "volume");
  if (!mount.subpath.empty() && wanted.source.empty()) {
    invalid("invalid mount config for type \"volume\": must not set Subpath when using anonymous volumes");
  }
  if (!options.labels.empty()) mount.volume_labels = options.labels;
  if (options.driver_config) {
    mount.volume_driver = options.driver_config->name;
    if (!options.driver_config->options.empty()) mount.volume_options = options.driver_config->options;
  }
  return mount;
}

PlannedMount plan_image_mount(const api::Mount& wanted) {
  if (wanted.source.empty()) invalid("invalid mount config for type \"image\": field Source must not be empty");
  PlannedMount mount;
  mount.kind = PlannedMount::Kind::image;
  mount.source = wanted.source;
  if (wanted.image_options) mount.subpath = check_subpath(wanted.image_options->subpath, "image");
  return mount;
}

PlannedMount plan_mount(const api::Mount& wanted) {
  if (wanted.type != "bind" && wanted.type != "volume" && wanted.type != "tmpfs" && wanted.type != "image") {
    invalid(concat("invalid mount config for type \"", wanted.type, "\": mount type unknown"));
  }
  check_target(wanted.target, wanted.type);
  refuse_foreign_options(wanted);
  PlannedMount mount = wanted.type == "bind"    ? plan_bind_mount(wanted)
                       : wanted.type == "tmpfs" ? plan_tmpfs_mount(wanted)
                       : wanted.type == "image" ? plan_image_mount(wanted)
                                                : plan_volume_mount(wanted);
  mount.target = clean_path(wanted.target);
  mount.read_only = wanted.read_only || wanted.type == "image";
  return mount;
}

PlannedMount plan_tmpfs_entry(const std::string& target, const std::string& options) {
  if (target.empty() || target.front() != '/') {
    invalid(concat("invalid mount path: '", target, "' mount path must be absolute"));
  }
  PlannedMount mount;
  mount.kind = PlannedMount::Kind::tmpfs;
  mount.from_tmpfs_map = true;
  mount.target = clean_path(target);
  std::set<std::string> given;
  if (!options.empty()) {
    for (const std::string& word : split(options, ',')) {
      given.insert(word);
      mount.tmpfs_options.push_back(word);
    }
  }
  for (const auto& [refusal, permission] : {std::pair{"noexec", "exec"}, {"nosuid", "suid"}, {"nodev", "dev"}}) {
    if (!given.contains(refusal) && !given.contains(permission)) mount.tmpfs_options.emplace_back(refusal);
  }
  return mount;
}

}  // namespace

VolumesFrom parse_volumes_from(const std::string& text) {
  VolumesFrom out;
  const std::size_t colon = text.find(':');
  out.container = text.substr(0, colon);
  if (text.empty()) invalid("volumes-from specification cannot be an empty string");
  if (out.container.empty()) invalid(concat("malformed volumes-from specification: ", text));
  if (colon == std::string::npos) return out;
  const std::string mode = text.substr(colon + 1);
  bool access_given = false;
  for (const std::string& word : split(mode, ',')) {
    const bool access = word == "ro" || word == "rw";
    if (!access && word != "z" && word != "Z" && word != "nocopy") invalid(concat("invalid mode: ", mode));
    if (access && access_given) invalid(concat("invalid mode: ", mode));
    access_given = access_given || access;
    out.read_only = out.read_only || word == "ro";
  }
  return out;
}

std::vector<PlannedMount> inherit_mounts(const std::vector<PlannedMount>& mounts, bool read_only) {
  std::vector<PlannedMount> out;
  for (PlannedMount mount : mounts) {
    if (mount.from_tmpfs_map) continue;
    mount.read_only = mount.read_only || read_only;
    mount.no_copy = true;
    mount.mode = mount.kind == PlannedMount::Kind::volume ? "" : mount.mode;
    out.push_back(std::move(mount));
  }
  return out;
}

std::vector<PlannedMount> plan_mounts(const api::HostConfig& host, const api::ContainerConfig& config,
                                      const std::vector<PlannedMount>& inherited) {
  std::vector<PlannedMount> mounts;
  std::set<std::string> targets;
  const auto add = [&](PlannedMount mount) {
    if (!targets.insert(mount.target).second) invalid(concat("Duplicate mount point: ", mount.target));
    if (mount.kind == PlannedMount::Kind::volume && mount.volume_driver.empty()) {
      mount.volume_driver = host.volume_driver;
    }
    mounts.push_back(std::move(mount));
  };
  if (host.binds) {
    for (const std::string& bind : *host.binds) add(parse_bind(bind));
  }
  for (const api::Mount& mount : host.mounts) add(plan_mount(mount));
  for (const auto& [target, options] : host.tmpfs) add(plan_tmpfs_entry(target, options));
  for (auto later = inherited.rbegin(); later != inherited.rend(); ++later) {  // the last one named wins
    if (!targets.contains(later->target)) add(*later);
  }
  if (config.volumes) {
    for (const auto& [target, nothing] : *config.volumes) {
      if (target.empty() || target.front() != '/') {
        invalid(concat("invalid volume specification: '", target, "': invalid mount path: '", target,
                       "' mount path must be absolute"));
      }
      PlannedMount mount;
      mount.kind = PlannedMount::Kind::volume;
      mount.target = clean_path(target);
      mount.mode = "z";
      if (!targets.contains(mount.target)) add(std::move(mount));
    }
  }
  // Parents before children, whatever the order of the request.
  std::sort(mounts.begin(), mounts.end(), [](const PlannedMount& a, const PlannedMount& b) {
    const auto depth = [](const PlannedMount& m) { return std::count(m.target.begin(), m.target.end(), '/'); };
    return std::pair(depth(a), a.target) < std::pair(depth(b), b.target);
  });
  return mounts;
}

std::vector<api::MountPoint> list_mount_points(const std::vector<PlannedMount>& mounts,
                                               const std::string& volumes_dir) {
  std::vector<api::MountPoint> points;
  for (const PlannedMount& mount : mounts) {
    if (mount.from_tmpfs_map) continue;
    api::MountPoint point;
    point.destination = mount.target;
    point.read_write = !mount.read_only;
    point.mode = mount.mode;
    switch (mount.kind) {
      case PlannedMount::Kind::bind:
        point.type = "bind";
        point.source = mount.source;
        point.propagation = mount.propagation;
        break;
      case PlannedMount::Kind::volume:
        point.type = "volume";
        point.name = mount.source;
        point.source = concat(volumes_dir, "/", mount.source, "/_data");
        point.driver = "local";
        break;
      case PlannedMount::Kind::tmpfs:
        point.type = "tmpfs";
        break;
      case PlannedMount::Kind::image:
        point.type = "image";
        point.source = mount.source;
        break;
    }
    points.push_back(std::move(point));
  }
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.destination < b.destination; });
  return points;
}

}  // namespace mydocker::engine

namespace mydocker {

void JsonCodec<engine::PlannedMount::Kind>::read(const json::value& value, const std::string& path,
                                                 engine::PlannedMount::Kind& out) {
  using enum engine::PlannedMount::Kind;
  std::string word;
  read_json(value, path, word);
  out = word == "volume" ? volume : word == "tmpfs" ? tmpfs : word == "image" ? image : bind;
}

json::value JsonCodec<engine::PlannedMount::Kind>::write(engine::PlannedMount::Kind value) {
  switch (value) {
    case engine::PlannedMount::Kind::bind:
      return "bind";
    case engine::PlannedMount::Kind::volume:
      return "volume";
    case engine::PlannedMount::Kind::tmpfs:
      return "tmpfs";
    case engine::PlannedMount::Kind::image:
      return "image";
  }
  return "bind";
}

}  // namespace mydocker
