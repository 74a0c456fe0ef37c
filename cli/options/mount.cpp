#include "cli/options/mount.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "cli/arguments.h"
#include "cli/options/words.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

api::VolumeDriverConfig& driver_of(api::Mount& mount) {
  if (!mount.volume_options) mount.volume_options.emplace();
  if (!mount.volume_options->driver_config) mount.volume_options->driver_config.emplace();
  return *mount.volume_options->driver_config;
}

api::VolumeOptions& volume_of(api::Mount& mount) {
  if (!mount.volume_options) mount.volume_options.emplace();
  return *mount.volume_options;
}

api::BindOptions& bind_of(api::Mount& mount) {
  if (!mount.bind_options) mount.bind_options.emplace();
  return *mount.bind_options;
}

api::TmpfsOptions& tmpfs_of(api::Mount& mount) {
  if (!mount.tmpfs_options) mount.tmpfs_options.emplace();
  return *mount.tmpfs_options;
}

bool read_bool(const std::string& key, const std::string& value) {
  try {
    return parse_bool(value);
  } catch (const Error&) {
    throw invalid_option("invalid value for ", key, ": ", value);
  }
}

void set_recursion(api::Mount& mount, const std::string& value) {
  api::BindOptions& bind = bind_of(mount);
  if (value == "enabled") return;
  if (value == "disabled") {
    bind.non_recursive = true;
  } else if (value == "writable") {
    bind.read_only_non_recursive = true;
  } else if (value == "readonly") {
    bind.read_only_force_recursive = true;
  } else {
    throw invalid_option("invalid value for bind-recursive: ", value,
                         " (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")");
  }
}

void set_pair(api::StringMap& map, const std::string& text) {
  const std::size_t equals = text.find('=');
  map[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
}

void set_tmpfs_mode(api::Mount& mount, const std::string& value) {
  std::uint32_t mode = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), mode, 8);
  if (failure != std::errc{} || end != value.data() + value.size()) {
    throw invalid_option("invalid value for tmpfs-mode: ", value);
  }
  tmpfs_of(mount).mode = mode;
}

void set_tmpfs_size(api::Mount& mount, const std::string& value) {
  try {
    tmpfs_of(mount).size_bytes = parse_size_bytes(value);
  } catch (const Error&) {
    throw invalid_option("invalid value for tmpfs-size: ", value);
  }
}

using Setter = void (*)(api::Mount&, const std::string& key, const std::string& value);

struct MountKey {
  std::string_view name;
  Setter set;
  bool may_stand_alone = false;  ///< "readonly" = "readonly=true"
};

constexpr MountKey mount_keys[] = {
    {"type", [](api::Mount& m, const std::string&, const std::string& v) { m.type = to_lower(v); }},
    {"source", [](api::Mount& m, const std::string&, const std::string& v) { m.source = v; }},
    {"src", [](api::Mount& m, const std::string&, const std::string& v) { m.source = v; }},
    {"target", [](api::Mount& m, const std::string&, const std::string& v) { m.target = v; }},
    {"dst", [](api::Mount& m, const std::string&, const std::string& v) { m.target = v; }},
    {"destination", [](api::Mount& m, const std::string&, const std::string& v) { m.target = v; }},
    {"readonly", [](api::Mount& m, const std::string& k, const std::string& v) { m.read_only = read_bool(k, v); },
     true},
    {"ro", [](api::Mount& m, const std::string& k, const std::string& v) { m.read_only = read_bool(k, v); }, true},
    {"consistency", [](api::Mount& m, const std::string&, const std::string& v) { m.consistency = to_lower(v); }},
    {"bind-propagation",
     [](api::Mount& m, const std::string&, const std::string& v) { bind_of(m).propagation = to_lower(v); }},
    {"bind-nonrecursive",
     [](api::Mount& m, const std::string& k, const std::string& v) { bind_of(m).non_recursive = read_bool(k, v); },
     true},
    {"bind-recursive", [](api::Mount& m, const std::string&, const std::string& v) { set_recursion(m, v); }},
    {"bind-create-src",
     [](api::Mount& m, const std::string& k, const std::string& v) { bind_of(m).create_mountpoint = read_bool(k, v); },
     true},
    {"volume-subpath", [](api::Mount& m, const std::string&, const std::string& v) { volume_of(m).subpath = v; }},
    {"volume-nocopy",
     [](api::Mount& m, const std::string& k, const std::string& v) { volume_of(m).no_copy = read_bool(k, v); }, true},
    {"volume-label", [](api::Mount& m, const std::string&, const std::string& v) { set_pair(volume_of(m).labels, v); }},
    {"volume-driver", [](api::Mount& m, const std::string&, const std::string& v) { driver_of(m).name = v; }},
    {"volume-opt", [](api::Mount& m, const std::string&, const std::string& v) { set_pair(driver_of(m).options, v); }},
    {"image-subpath",
     [](api::Mount& m, const std::string&, const std::string& v) { m.image_options.emplace().subpath = v; }},
    {"tmpfs-size", [](api::Mount& m, const std::string&, const std::string& v) { set_tmpfs_size(m, v); }},
    {"tmpfs-mode", [](api::Mount& m, const std::string&, const std::string& v) { set_tmpfs_mode(m, v); }},
};

void refuse_mixed(const api::Mount& mount) {
  const auto refuse = [&](std::string_view family) {
    return invalid_option("cannot mix '", family, "-*' options with mount type '", mount.type, "'");
  };
  if (mount.volume_options && mount.type != "volume") throw refuse("volume");
  if (mount.bind_options && mount.type != "bind") throw refuse("bind");
  if (mount.image_options && mount.type != "image") throw refuse("image");
  if (mount.tmpfs_options && mount.type != "tmpfs") throw refuse("tmpfs");
  const bool forced = mount.bind_options && mount.bind_options->read_only_force_recursive;
  if (forced && !mount.read_only) {
    throw invalid_option("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
  }
  if (forced && mount.bind_options->propagation != "rprivate") {
    throw invalid_option(
        "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
  }
}

}  // namespace

api::Mount parse_mount(std::string_view specification) {
  api::Mount mount;
  mount.type = "volume";
  for (const std::string& part : split_csv(specification)) {
    const std::size_t equals = part.find('=');
    const std::string key = to_lower(part.substr(0, equals));
    const auto* found = std::find_if(std::begin(mount_keys), std::end(mount_keys),
                                     [&](const MountKey& candidate) { return candidate.name == key; });
    const bool known = found != std::end(mount_keys);
    if (equals == std::string::npos && !(known && found->may_stand_alone)) {
      throw invalid_option("invalid field '", part, "' must be a key=value pair");
    }
    if (!known) throw invalid_option("unexpected key '", key, "' in '", part, "'");
    found->set(mount, part.substr(0, equals), equals == std::string::npos ? "true" : part.substr(equals + 1));
  }
  if (mount.type.empty()) throw invalid_option("type is required");
  if (mount.target.empty()) throw invalid_option("target is required");
  refuse_mixed(mount);
  return mount;
}

void check_mount(std::string_view specification) { parse_mount(specification); }

void add_volume(std::string_view specification, std::vector<std::string>& binds, api::NameSet& volumes) {
  if (specification.empty()) throw invalid_option("invalid empty volume spec");
  if (specification.size() <= 2) {
    volumes[std::string(specification)];
    return;
  }
  // Docker quirk: a single letter before a colon is a Windows drive, also here (docker/cli, ParseVolume).
  std::vector<std::string> sections(1);
  for (const char c : specification) {
    const bool drive =
        c == ':' && sections.back().size() == 1 && std::isalpha(static_cast<unsigned char>(sections.back()[0])) != 0;
    if (c == ':' && !drive) {
      sections.emplace_back();
    } else {
      sections.back() += c;
    }
  }
  if (std::any_of(sections.begin(), sections.end(), [](const std::string& part) { return part.empty(); })) {
    throw invalid_option("invalid spec: ", specification, ": empty section between colons");
  }
  if (sections.size() > 3) throw invalid_option("invalid spec: ", specification, ": too many colons");
  if (sections.size() == 1) {
    volumes[std::string(specification)];
    return;
  }
  std::string bind(specification);
  if (specification.starts_with('.')) {
    std::array<char, 4096> directory{};
    if (::getcwd(directory.data(), directory.size()) == nullptr) throw Error(ErrorKind::internal, "getcwd failed");
    std::string host = sections[0];
    while (host.starts_with("./")) host.erase(0, 2);
    bind = host == "." || host.empty() ? concat(directory.data(), bind.substr(sections[0].size()))
                                       : concat(directory.data(), "/", host, bind.substr(sections[0].size()));
  }
  binds.push_back(std::move(bind));
}

}  // namespace mydocker::cli
