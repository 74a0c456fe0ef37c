#include <fcntl.h>
#include <sys/vfs.h>

#include <filesystem>

#include "engine/base/sys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/log_plan.h"
#include "image/image_config.h"
#include "network/networks.h"

/// info, version, events (WIRE 17, 28).
namespace mydocker::engine {
namespace {

constexpr std::string_view build_time = "1970-01-01T00:00:00.000000000+00:00";  // reproducible builds carry no clock

std::int64_t count_entries(const std::string& directory) {
  std::error_code error;
  const auto entries = std::filesystem::directory_iterator(directory, error);
  return error ? 0 : static_cast<std::int64_t>(std::distance(begin(entries), end(entries)));
}

std::vector<std::string> make_warnings(const EngineState& state) {
  std::vector<std::string> warnings;
  const HostFacts& facts = state.facts;
  const auto missing = [&](bool present, std::string_view what) {
    if (!present) warnings.push_back(concat("WARNING: ", what));
  };
  missing(facts.has_memory, "No memory limit support");
  missing(facts.has_swap_limit, "No swap limit support");
  missing(facts.has_cpu, "No cpu cfs quota support");
  missing(facts.has_cpuset, "No cpuset support");
  missing(facts.has_pids, "No pids limit support");
  missing(facts.has_blkio, "No blkio throttle support");
  missing(facts.has_blkio_weight, "No blkio weight support");
  missing(path_exists("/sys/kernel/security/apparmor") || path_exists("/sys/fs/selinux"),
          "Neither AppArmor nor SELinux is available in this kernel");
  for (const std::string& text : network::host_warnings(state.options.bridge)) warnings.push_back("WARNING: " + text);
  return warnings;
}

api::PluginsInfo make_plugins() {
  api::PluginsInfo plugins;
  plugins.volume = api::StringList{"local"};
  plugins.network = api::StringList{"bridge", "host", "null"};
  plugins.log = log_driver_names();
  return plugins;
}

api::RegistryConfig make_registry_config(const Options& options) {
  api::RegistryConfig config;
  config.insecure_registry_cidrs = {"::1/128", "127.0.0.0/8"};
  config.mirrors = options.registry_mirrors;
  config.index_configs["docker.io"] =
      api::IndexInfo{.name = "docker.io", .mirrors = options.registry_mirrors, .secure = true, .official = true};
  for (const std::string& registry : options.insecure_registries) {
    config.index_configs[registry] =
        api::IndexInfo{.name = registry, .mirrors = {}, .secure = false, .official = false};
  }
  return config;
}

std::string backing_file_system(const std::string& path) {
  struct statfs info{};
  if (::statfs(path.c_str(), &info) != 0) return "unknown";
  // /proc/self/mountinfo would need parsing; the magic number names those that overlay accepts as an upper directory.
  static constexpr std::pair<long, const char*> names[] = {
      {0xEF53, "extfs"}, {0x58465342, "xfs"}, {0x01021994, "tmpfs"}, {0x9123683E, "btrfs"}, {0xF2F52010, "f2fs"}};
  for (const auto& [number, name] : names) {
    if (number == info.f_type) return name;
  }
  return "unknown";
}

/// "http://user:secret@proxy:3128" without what stands before the "@" (SECURITY R20).
std::string hide_credentials(const std::string& url) {
  const std::size_t at = url.rfind('@');
  if (at == std::string::npos) return url;
  const std::size_t scheme = url.find("://");
  return concat(scheme == std::string::npos ? "" : url.substr(0, scheme + 3), "xxxxx:xxxxx", url.substr(at));
}

api::Info make_static_info(const EngineState& state) {
  api::Info info;
  const HostFacts& facts = state.facts;
  const Options& options = state.options;
  info.id = state.engine_id;
  info.driver = "overlay2";
  info.plugins = make_plugins();
  info.memory_limit = facts.has_memory;
  info.swap_limit = facts.has_swap_limit;
  info.cpu_cfs_period = facts.has_cpu;
  info.cpu_cfs_quota = facts.has_cpu;
  info.cpu_shares = facts.has_cpu;
  info.cpu_set = facts.has_cpuset;
  info.pids_limit = facts.has_pids;
  info.oom_kill_disable = facts.cgroup_version == 1;
  info.debug = options.debug;
  info.logging_driver = options.log_driver;
  info.cgroup_driver = options.cgroup_driver;
  info.cgroup_version = std::to_string(facts.cgroup_version);
  info.kernel_version = facts.kernel_version;
  info.operating_system = facts.operating_system;
  info.os_type = "linux";
  info.architecture = "x86_64";
  info.index_server_address = "https://index.docker.io/v1/";
  info.registry_config = make_registry_config(options);
  info.cpus = facts.cpu_count;
  info.memory_bytes = facts.memory_bytes;
  info.docker_root_dir = options.data_root;
  info.http_proxy = hide_credentials(options.http_proxy);
  info.https_proxy = hide_credentials(options.https_proxy);
  info.no_proxy = options.no_proxy;
  info.name = facts.host_name;
  info.labels = options.labels;
  info.server_version = api::server_version;
  info.runtimes["mydocker"] = api::RuntimeInfo{.path = options.programs_dir + "/mydocker-shim", .runtime_args = {}};
  for (const auto& [name, runtime] : options.runtimes) {
    info.runtimes[name] = api::RuntimeInfo{.path = runtime.path, .runtime_args = runtime.arguments};
  }
  info.default_runtime = options.default_runtime;
  info.live_restore_enabled = true;
  info.init_binary = "mydocker-init";
  info.firewall_backend = api::FirewallInfo{"nftables"};
  info.security_options = {"name=seccomp,profile=builtin", "name=cgroupns"};
  return info;
}

}  // namespace

awaitable<api::Info> Engine::info() {
  EngineState& state = *state_;
  api::Info info = make_static_info(state);
  for (const ContainerPtr& container : state.containers.list()) {
    ++info.containers;
    if (container->state == ContainerState::paused) {
      ++info.containers_paused;
    } else if (derive_flags(container->state).running) {
      ++info.containers_running;
    } else {
      ++info.containers_stopped;
    }
  }
  info.event_listeners = static_cast<std::int64_t>(state.events.listener_count());
  info.system_time = to_rfc3339(now());
  co_await blocking(state.disk_pool, [&] {
    info.images = static_cast<std::int64_t>(state.images->list().size());
    info.driver_status = {{"Backing Filesystem", backing_file_system(state.options.data_root)},
                          {"Supports d_type", "true"}};
    info.file_descriptors = count_entries("/proc/self/fd");
    info.goroutines = count_entries("/proc/self/task");
    info.ipv4_forwarding = find_file_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward").value_or("0").starts_with("1");
    const std::vector<std::string> warnings = make_warnings(state);
    if (!warnings.empty()) info.warnings = warnings;
  });
  co_return info;
}

api::Version Engine::version() const {
  api::Version out;
  out.platform.name = "mydocker";
  out.version = api::server_version;
  out.api_version = api::max_api_version;
  out.min_api_version = api::min_api_version;
  out.git_commit = "unknown";
  out.go_version = "none";
  out.os = "linux";
  out.arch = image::host_architecture();
  out.kernel_version = state_->facts.kernel_version;
  out.build_time = build_time;
  api::Component engine;
  engine.name = "Engine";
  engine.version = out.version;
  engine.details = {{"ApiVersion", out.api_version},
                    {"Arch", out.arch},
                    {"BuildTime", out.build_time},
                    {"Experimental", "false"},
                    {"GitCommit", out.git_commit},
                    {"GoVersion", out.go_version},
                    {"KernelVersion", out.kernel_version},
                    {"MinAPIVersion", out.min_api_version},
                    {"Os", out.os}};
  out.components.push_back(std::move(engine));
  return out;
}

std::unique_ptr<EventStream> Engine::events(EventOptions options) { return state_->events.subscribe(options); }

const TraceBook& Engine::traces() const { return state_->traces; }

RequestBook& Engine::requests() { return state_->requests; }

}  // namespace mydocker::engine
