#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/container_view.h"
#include "engine/create_check.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/launch_plan.h"
#include "engine/mount_plan.h"
#include "engine/name_generator.h"

namespace mydocker::engine {
namespace {

void check_platform(const image::Image& image, const std::string& reference, const std::string& platform) {
  if (platform.empty()) return;
  const std::string os = platform.substr(0, platform.find('/'));
  std::string architecture = platform.find('/') == std::string::npos ? "" : platform.substr(platform.find('/') + 1);
  architecture = architecture.substr(0, architecture.find('/'));
  const image::ImageDocument& document = *image.document;
  if ((os == document.os || os.empty()) && (architecture.empty() || architecture == document.architecture)) return;
  throw Error(ErrorKind::not_found,
              concat("image with reference ", reference, " was found but its platform (", document.os, "/",
                     document.architecture, ") does not match the specified platform (", platform, ")"));
}

/// Entrypoint and Cmd become the program and its arguments.
void set_program(ContainerRecord& record) {
  std::vector<std::string> words = record.config.entrypoint.value_or(api::CommandLine{});
  if (record.config.cmd) words.insert(words.end(), record.config.cmd->begin(), record.config.cmd->end());
  if (words.empty() || words.front().empty()) throw Error(ErrorKind::invalid_argument, "no command specified");
  record.path = words.front();
  record.args.assign(words.begin() + 1, words.end());
}

void check_endpoints(const api::ContainerCreateRequest& request, const CreateOptions& options) {
  const api::EndpointMap& endpoints = request.networking_config.endpoints_config;
  constexpr int several_endpoints_since = 44;
  if (endpoints.size() > 1 && options.api_minor < several_endpoints_since) {
    std::string names;
    for (const auto& [name, settings] : endpoints) names += (names.empty() ? "" : ", ") + name;
    throw Error(ErrorKind::invalid_argument,
                concat("Container cannot be created with multiple network endpoints: ", names));
  }
  if (endpoints.size() > 1) {
    throw Error(ErrorKind::not_implemented, "a container on several networks is not implemented yet");
  }
}

/// The container that another one's mode, mounts or links are about. 404 is for a missing image alone (WIRE 12).
ContainerPtr get_partner(EngineState& state, const std::string& id) {
  try {
    return state.containers.get(id);
  } catch (const Error& e) {
    throw Error(ErrorKind::invalid_argument, e.message());
  }
}

std::vector<PlannedMount> find_inherited(EngineState& state, const api::HostConfig& host) {
  std::vector<PlannedMount> inherited;
  for (const std::string& text : host.volumes_from.value_or(api::StringList{})) {
    const VolumesFrom from = parse_volumes_from(text);
    const ContainerPtr donor = get_partner(state, from.container);
    for (PlannedMount& mount : inherit_mounts(plan_record_mounts(donor->record), from.read_only)) {
      inherited.push_back(std::move(mount));
    }
  }
  return inherited;
}

/// "name:alias" or "name"; afterwards `links` prints as Docker's: "/name:/me/alias".
void resolve_links(EngineState& state, ContainerRecord& record) {
  std::optional<api::StringList>& links = record.host_config.links;
  if (!links || links->empty()) return;
  if (record.host_config.network_mode != "bridge") {
    throw Error(ErrorKind::invalid_argument, "conflicting options: Links work on the default bridge network only");
  }
  for (std::string& link : *links) {
    const std::size_t colon = link.find(':');
    const std::string name = link.substr(0, colon);
    std::string alias = colon == std::string::npos ? name : link.substr(colon + 1);
    alias = alias.substr(alias.rfind('/') + 1);
    if (name.empty() || alias.empty() || alias.find(':') != std::string::npos) {
      throw Error(ErrorKind::invalid_argument, concat("bad format for links: ", link));
    }
    check_alias(alias);
    const ContainerPtr target = get_partner(state, name);
    if (target->record.host_config.network_mode == "host") {
      throw Error(ErrorKind::invalid_argument,
                  "conflicting options: host type networking can't be used with links. This "
                  "would result in undefined behavior");
    }
    record.links.push_back({.target_id = target->id(), .alias = alias});
    link = concat("/", target->name(), ":/", record.name, "/", alias);
  }
}

void set_masks(api::HostConfig& host) {
  if (host.privileged) return;
  if (!host.masked_paths) host.masked_paths = runtime::make_default_masked_paths();
  if (!host.readonly_paths) host.readonly_paths = runtime::make_default_readonly_paths();
}

void check_bind_sources(const std::vector<PlannedMount>& mounts) {
  for (const PlannedMount& mount : mounts) {
    if (mount.kind == PlannedMount::Kind::bind && !mount.create_source && !path_exists(mount.source)) {
      throw Error(ErrorKind::invalid_argument,
                  concat("invalid mount config for type \"bind\": bind source path does not exist: ", mount.source));
    }
  }
}

/// Gives a reserved name back unless the container came to exist.
class NameReservation {
 public:
  NameReservation(ContainerStore& containers, std::string name, const std::string& id)
      : containers_(containers), name_(std::move(name)) {
    containers_.reserve_name(name_, id);
  }
  NameReservation(const NameReservation&) = delete;
  NameReservation& operator=(const NameReservation&) = delete;
  ~NameReservation() {
    if (!kept_) containers_.release_name(name_);
  }
  void keep() { kept_ = true; }

 private:
  ContainerStore& containers_;
  std::string name_;
  bool kept_ = false;
};

/// The volumes made for a container that is being created; they go with it when it fails.
class NewVolumes {
 public:
  explicit NewVolumes(EngineState& state) : state_(state) {}
  NewVolumes(const NewVolumes&) = delete;
  NewVolumes& operator=(const NewVolumes&) = delete;
  ~NewVolumes() {
    for (const std::string& name : names_) {
      try {
        state_.volumes->remove(name);
      } catch (const Error& e) {
        log::warn("a volume of a failed create stays", {{"volume", name}, {"error", e.message()}});
      }
    }
  }
  void add(std::string name) { names_.push_back(std::move(name)); }
  /// The container exists: gives their names.
  std::vector<std::string> keep() { return std::exchange(names_, {}); }

 private:
  EngineState& state_;
  std::vector<std::string> names_;
};

/// Makes the volumes that are not there yet and notes their names. Blocks.
void create_volumes(EngineState& state, const std::vector<PlannedMount>& mounts, ContainerRecord& record,
                    NewVolumes& made) {
  for (const PlannedMount& mount : mounts) {
    if (mount.kind != PlannedMount::Kind::volume) continue;
    storage::VolumeRequest request;
    request.name = mount.source;
    request.labels = mount.volume_labels;
    request.options = mount.volume_options;
    if (!mount.volume_driver.empty()) request.driver = mount.volume_driver;
    if (mount.source.empty()) {
      if (!request.labels) request.labels.emplace();
      request.labels->emplace("com.docker.volume.anonymous", "");
      request.provisional = true;
    }
    try {
      const bool existed = !request.name.empty() && state.volumes->find(request.name).has_value();
      const storage::Volume volume = state.volumes->create(request);
      record.volume_names[mount.target] = volume.name;
      if (!volume.options.empty()) record.volume_options[volume.name] = volume.options;
      if (!existed) made.add(volume.name);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::not_found) throw;
      throw Error(ErrorKind::invalid_argument, e.message());  // 404 is for a missing image alone (WIRE 12)
    }
  }
}

/// Which layers the mounts of type image show; retained by store_container. Blocks.
void find_image_mounts(EngineState& state, const std::vector<PlannedMount>& mounts, ContainerRecord& record) {
  for (const PlannedMount& mount : mounts) {
    if (mount.kind != PlannedMount::Kind::image) continue;
    const std::optional<image::Image> image = state.images->find(mount.source);
    if (!image) {
      throw Error(ErrorKind::invalid_argument,
                  concat("invalid mount config for type \"image\": No such image: ", mount.source));
    }
    record.image_mounts[mount.target] = image->chain_id.text();
  }
}

/// The image's content of the mount point becomes the content of an empty volume. Blocks.
void fill_volumes(EngineState& state, const std::vector<PlannedMount>& mounts, const ContainerRecord& record) {
  if (record.chain_id.empty()) return;
  for (const PlannedMount& mount : mounts) {
    if (mount.kind != PlannedMount::Kind::volume || mount.no_copy) continue;
    // What a volume with driver options shows is mounted at the start only.
    if (record.volume_options.contains(record.volume_names.at(mount.target))) continue;
    OverlayMount stack = state.container_layers->mount(record.id, Digest::parse(record.chain_id));
    state.volumes->copy_up(record.volume_names.at(mount.target), stack, mount.target);
  }
}

/// The part that blocks: row, layer references and volumes in one commit, then the directories and what the volumes
/// show.
void store_container(EngineState& state, const std::vector<PlannedMount>& mounts, const ContainerRecord& record) {
  const std::string owner = "container:" + record.id;
  state.database->transaction([&](Connection&) {
    ContainerStore::insert_row(*state.database, record);
    if (!record.chain_id.empty()) state.layers->retain(Digest::parse(record.chain_id), owner);
    for (const auto& [target, chain] : record.image_mounts) state.layers->retain(Digest::parse(chain), owner);
    for (const auto& [target, volume] : record.volume_names) state.volumes->claim(volume);
  });
  try {
    failpoint("create.directories");
    state.container_layers->create(record.id);
    fill_volumes(state, mounts, record);
  } catch (...) {  // nothing of it may stay
    state.container_layers->remove(record.id);
    state.database->transaction([&](Connection&) {
      ContainerStore::delete_row(*state.database, record.id);
      state.layers->release_owner(owner);
    });
    throw;
  }
}

}  // namespace

awaitable<api::ContainerCreateResponse> Engine::create(api::ContainerCreateRequest request, CreateOptions options) {
  EngineState& state = *state_;
  Trace trace("create");
  ContainerRecord record;
  record.config = static_cast<api::ContainerConfig&>(request);
  record.host_config = request.host_config;
  if (!options.name.empty()) options.name = check_name(options.name);
  check_config(record.config);
  check_endpoints(request, options);
  if (!record.config.image.empty()) {
    const std::string name = record.config.image;
    const image::Image image = co_await blocking(state.disk_pool, [&] { return state.images->get(name); });
    check_platform(image, name, options.platform);
    record.image_id = image.id.text();
    record.chain_id = image.chain_id.text();
    merge_image_config(record.config, image.config());
  }
  trace.mark("image");
  set_program(record);
  api::ContainerCreateResponse response;
  constexpr int private_cgroup_namespace_since = 41;
  if (options.api_minor < private_cgroup_namespace_since && record.host_config.cgroupns_mode.empty() &&
      state.facts.cgroup_version == 1) {
    record.host_config.cgroupns_mode = "host";
  }
  response.warnings = check_host_config(record.host_config, record.config, state.options, state.facts);
  set_masks(record.host_config);
  record.inherited_mounts = find_inherited(state, record.host_config);
  const std::vector<PlannedMount> mounts = plan_mounts(record.host_config, record.config, record.inherited_mounts);
  check_endpoint_settings(request.networking_config.endpoints_config, record.host_config.network_mode);
  plan_capabilities(record.host_config);

  record.id = make_random_id();
  record.created = to_unix_nanoseconds(now());
  const bool own_hostname = record.host_config.uts_mode != "host" && record.host_config.network_mode != "host";
  if (record.config.hostname.empty()) {
    record.config.hostname = own_hostname ? record.id.substr(0, 12) : state.facts.host_name;
  }
  for (const std::string_view prefix : {"network_mode", "pid_mode", "ipc_mode"}) {
    std::string& mode = prefix == "network_mode" ? record.host_config.network_mode
                        : prefix == "pid_mode"   ? record.host_config.pid_mode
                                                 : record.host_config.ipc_mode;
    if (!mode.starts_with("container:")) continue;
    mode = "container:" + get_partner(state, mode.substr(10))->id();
  }
  for (auto& [name, settings] : request.networking_config.endpoints_config) {
    record.endpoint_settings[name == "default" ? "bridge" : name] = settings;
  }
  record.name =
      options.name.empty()
          ? generate_name(record.id, [&](const std::string& name) { return state.containers.is_name_taken(name); })
          : options.name;
  NameReservation name(state.containers, record.name, record.id);
  resolve_links(state, record);
  trace.mark("check");
  std::vector<std::string> new_volumes;
  co_await blocking(state.database_pool, [&] {
    check_bind_sources(mounts);
    find_image_mounts(state, mounts, record);
    NewVolumes made(state);
    create_volumes(state, mounts, record, made);
    store_container(state, mounts, record);
    new_volumes = made.keep();
  });
  trace.mark("store");
  const auto container = std::make_shared<Container>(state.io);
  container->record = std::move(record);
  state.containers.add(container);
  name.keep();
  for (const std::string& volume : new_volumes) {
    state.events.publish("volume", "create", volume, {{"driver", "local"}});
  }
  publish(state, *container, "create");
  trace.set_subject(container->id());
  state.traces.record(trace);
  response.id = container->id();
  co_return response;
}

}  // namespace mydocker::engine
