#include "engine/launch_plan.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "engine/base/path.h"
#include "engine/base/sys.h"
#include "engine/container_view.h"
#include "engine/health.h"
#include "engine/log_plan.h"
#include "engine/resource_plan.h"
#include "engine/spec_mounts.h"
#include "runtime/capabilities.h"
#include "runtime/seccomp.h"

namespace mydocker::engine {
namespace {

constexpr std::string_view default_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

[[noreturn]] void invalid(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

bool starts_container_mode(const std::string& mode) { return mode.starts_with("container:"); }

struct SecurityOptions {
  bool no_new_privileges = false;
  bool seccomp_off = false;
  std::string seccomp_profile;  ///< JSON text; "" = the built-in one
};

SecurityOptions parse_security(const api::HostConfig& host, const Options& options) {
  SecurityOptions out;
  out.no_new_privileges = options.no_new_privileges;
  std::string profile = options.seccomp_profile;
  if (!profile.empty() && profile != "unconfined" && profile != "builtin") profile = read_file(profile);
  bool profile_given = false;
  for (const std::string& option : host.security_opt.value_or(api::StringList{})) {
    const std::size_t separator = option.find_first_of("=:");
    const std::string key = option.substr(0, separator);
    const std::string value = separator == std::string::npos ? "true" : option.substr(separator + 1);
    if (key == "no-new-privileges") out.no_new_privileges = value == "true";
    if (key == "seccomp") {
      profile = value;
      profile_given = true;
    }
    if (key == "apparmor" && value != "unconfined" && !value.empty()) {
      invalid(concat("AppArmor is not enabled in this kernel: the profile ", value, " cannot be applied"));
    }
    if (key == "label" && value != "disable") {
      invalid(concat("SELinux is not enabled in this kernel: label=", value, " cannot be applied"));
    }
  }
  out.seccomp_off = profile == "unconfined" || (host.privileged && !profile_given);
  if (!out.seccomp_off && profile != "builtin") out.seccomp_profile = profile;
  return out;
}

std::vector<std::string> plan_environment(const ContainerRecord& record, const std::string& hostname) {
  std::vector<std::string> env;
  std::set<std::string> given;
  for (const std::string& entry : record.config.env.value_or(api::StringList{})) {
    given.insert(entry.substr(0, entry.find('=')));
  }
  if (!given.contains("PATH")) env.emplace_back(default_path);
  if (!given.contains("HOSTNAME")) env.push_back("HOSTNAME=" + hostname);
  if (record.config.tty && !given.contains("TERM")) env.emplace_back("TERM=xterm");
  for (const std::string& entry : record.config.env.value_or(api::StringList{})) {
    if (entry.find('=') != std::string::npos) env.push_back(entry);  // a bare name takes the variable away
  }
  return env;
}

/// The variables that tell a container about those it is linked to: Docker's from the time before networks had names.
std::vector<std::string> plan_link_environment(const LaunchInput& input) {
  std::vector<std::string> env;
  const auto port_number = [](const std::string& port) { return std::stoi(port.substr(0, port.find('/'))); };
  const auto protocol_of = [](const std::string& port) {
    const std::size_t slash = port.find('/');
    return slash == std::string::npos ? std::string("tcp") : port.substr(slash + 1);
  };
  for (const LinkedContainer& link : input.links) {
    std::string prefix = link.alias;
    std::transform(prefix.begin(), prefix.end(), prefix.begin(), [](char c) {
      return c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    });
    std::vector<std::string> ports = link.ports;
    std::sort(ports.begin(), ports.end(),
              [&](const std::string& a, const std::string& b) { return port_number(a) < port_number(b); });
    const auto address = [&](const std::string& port) {
      return concat(protocol_of(port), "://", link.address, ":", port_number(port));
    };
    if (!ports.empty()) env.push_back(concat(prefix, "_PORT=", address(ports.front())));
    for (const std::string& port : ports) {
      std::string protocol = protocol_of(port);
      const std::string plain = protocol;
      std::transform(protocol.begin(), protocol.end(), protocol.begin(),
                     [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
      const std::string base = concat(prefix, "_PORT_", port_number(port), "_", protocol);
      env.push_back(concat(base, "=", address(port)));
      env.push_back(concat(base, "_ADDR=", link.address));
      env.push_back(concat(base, "_PORT=", port_number(port)));
      env.push_back(concat(base, "_PROTO=", plain));
    }
    env.push_back(concat(prefix, "_NAME=/", input.record.name, "/", link.alias));
    for (const std::string& entry : link.env) {
      const std::string key = entry.substr(0, entry.find('='));
      if (key != "HOME" && key != "PATH" && entry.find('=') != std::string::npos) {
        env.push_back(concat(prefix, "_ENV_", entry));
      }
    }
  }
  return env;
}

std::uint64_t to_rlimit(std::int64_t value) {
  return value < 0 ? std::numeric_limits<std::uint64_t>::max() : static_cast<std::uint64_t>(value);
}

std::string rlimit_type(const std::string& name) {
  std::string type = "RLIMIT_";
  for (const char c : name) type.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  return type;
}

void set_rlimit(std::vector<runtime::Rlimit>& limits, runtime::Rlimit limit) {
  for (runtime::Rlimit& existing : limits) {
    if (existing.type == limit.type) {
      existing = std::move(limit);
      return;
    }
  }
  limits.push_back(std::move(limit));
}

std::vector<runtime::Rlimit> plan_rlimits(const api::HostConfig& host, const Options& options,
                                          std::vector<std::string>* requested) {
  std::vector<runtime::Rlimit> limits = runtime::make_default_rlimits();
  for (const auto& [name, values] : options.default_ulimits) {
    set_rlimit(limits, {.type = rlimit_type(name), .hard = to_rlimit(values.second), .soft = to_rlimit(values.first)});
  }
  for (const api::Ulimit& ulimit : host.ulimits.value_or(std::vector<api::Ulimit>{})) {
    const std::string type = rlimit_type(ulimit.name);
    set_rlimit(limits, {.type = type, .hard = to_rlimit(ulimit.hard), .soft = to_rlimit(ulimit.soft)});
    if (requested != nullptr) requested->push_back(type);
  }
  return limits;
}

runtime::Capabilities make_capability_sets(const std::vector<std::string>& names) {
  runtime::Capabilities sets;
  sets.bounding = names;
  sets.effective = names;
  sets.permitted = names;
  return sets;
}

void plan_namespaces(const LaunchInput& input, LaunchPlan& plan) {
  const api::HostConfig& host = input.record.host_config;
  std::vector<runtime::Namespace>& namespaces = plan.spec.linux.namespaces;
  const auto own = [&](std::string type) { namespaces.push_back({.type = std::move(type), .path = ""}); };
  const auto join = [&](std::string type, int pid, std::string_view file) {
    namespaces.push_back({.type = std::move(type), .path = concat("/proc/", pid, "/ns/", file)});
  };
  own("mount");
  if (starts_container_mode(host.pid_mode)) {
    join("pid", input.pid_owner_pid, "pid");
  } else if (host.pid_mode != "host") {
    own("pid");
  }
  if (host.uts_mode != "host") own("uts");
  if (starts_container_mode(host.ipc_mode)) {
    join("ipc", input.ipc_owner_pid, "ipc");
  } else if (host.ipc_mode != "host") {
    own("ipc");
  }
  if (host.cgroupns_mode == "private") own("cgroup");
  own("time");
  switch (plan.network_kind) {
    case NetworkKind::attach:
    case NetworkKind::none:
      own("network");
      break;
    case NetworkKind::container:
      join("network", input.network_owner_pid, "net");
      break;
    case NetworkKind::host:
      break;
  }
}

void plan_sysctls(const api::HostConfig& host, LaunchPlan& plan) {
  const bool own_network = plan.network_kind == NetworkKind::attach || plan.network_kind == NetworkKind::none;
  if (own_network) {
    plan.spec.linux.sysctl["net.ipv4.ip_unprivileged_port_start"] = "0";
    plan.spec.linux.sysctl["net.ipv4.ping_group_range"] = "0 2147483647";
  }
  for (const auto& [key, value] : host.sysctls) plan.spec.linux.sysctl[key] = value;
}

std::vector<network::PortRequest> plan_ports(const ContainerRecord& record) {
  std::vector<network::PortRequest> requests;
  const auto add = [&](const std::string& key, const api::PortBinding& binding) {
    network::PortRequest request;
    const std::size_t slash = key.find('/');
    request.container_port = static_cast<std::uint16_t>(std::stoi(key.substr(0, slash)));
    request.protocol = slash == std::string::npos ? "tcp" : key.substr(slash + 1);
    request.host_ip = binding.host_ip;
    if (!binding.host_port.empty()) {
      const std::size_t dash = binding.host_port.find('-');
      request.host_port_first = static_cast<std::uint16_t>(std::stoi(binding.host_port.substr(0, dash)));
      if (dash != std::string::npos) {
        request.host_port_last = static_cast<std::uint16_t>(std::stoi(binding.host_port.substr(dash + 1)));
      }
    }
    requests.push_back(std::move(request));
  };
  for (const auto& [key, bindings] : record.host_config.port_bindings) {
    if (!bindings || bindings->empty()) {
      add(key, api::PortBinding{});
    } else {
      for (const api::PortBinding& binding : *bindings) add(key, binding);
    }
  }
  if (record.host_config.publish_all_ports) {
    for (const auto& [key, nothing] : record.config.exposed_ports) {
      if (!record.host_config.port_bindings.contains(key)) add(key, api::PortBinding{});
    }
  }
  return requests;
}

void plan_network(const LaunchInput& input, LaunchPlan& plan) {
  const std::string& mode = input.record.host_config.network_mode;
  if (mode == "host") {
    plan.network_kind = NetworkKind::host;
  } else if (mode == "none") {
    plan.network_kind = NetworkKind::none;
  } else if (starts_container_mode(mode)) {
    plan.network_kind = NetworkKind::container;
  } else {
    plan.network_name = mode;
    plan.ports = plan_ports(input.record);
  }
}

void plan_seccomp(const LaunchInput& input, const std::vector<std::string>& capabilities, LaunchPlan& plan) {
  const SecurityOptions security = parse_security(input.record.host_config, *input.options);
  plan.spec.process.no_new_privileges = security.no_new_privileges;
  if (security.seccomp_off) return;
  if (security.seccomp_profile.empty()) {
    plan.shim.default_seccomp = true;
  } else {
    plan.spec.linux.seccomp = runtime::parse_seccomp_profile(
        security.seccomp_profile, runtime::capability_mask(capabilities), input.facts->kernel_version);
  }
}

/// nullopt: our own. A name that was in the configuration when the container was made may be gone by now.
std::optional<runtime::ForeignRuntime> plan_foreign_runtime(const api::HostConfig& host, const Options& options) {
  const auto found = options.runtimes.find(host.runtime);
  if (found == options.runtimes.end()) {
    const bool own = host.runtime.empty() || host.runtime == "mydocker" || host.runtime == "runc";
    if (!own) invalid(concat("unknown or invalid runtime name: ", host.runtime));
    return std::nullopt;
  }
  const std::string& path = found->second.path;
  if (path.find('/') != std::string::npos) {
    return runtime::ForeignRuntime{.path = path, .arguments = found->second.arguments};
  }
  for (const std::string_view directory :
       {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    const std::string candidate = concat(directory, "/", path);
    if (::access(candidate.c_str(), X_OK) == 0) {
      return runtime::ForeignRuntime{.path = candidate, .arguments = found->second.arguments};
    }
  }
  invalid(concat("the runtime ", host.runtime, " cannot be found: exec: \"", path,
                 "\": executable file not found in $PATH"));
}

void plan_shim(const LaunchInput& input, LaunchPlan& plan) {
  const ContainerRecord& record = input.record;
  runtime::ShimConfig& shim = plan.shim;
  const std::string directory = input.paths->container(record.id);
  shim.id = record.id;
  shim.rootfs = input.rootfs;
  shim.rootfs->skip_sync = record.host_config.auto_remove;  // what nobody can look at later need not reach the disk
  shim.user = effective_user(record.config.user);
  shim.group_add = record.host_config.group_add.value_or(api::StringList{});
  shim.open_stdin = record.config.open_stdin;
  shim.stdin_once = record.config.stdin_once;
  shim.tty = record.config.tty;
  shim.console_height = record.host_config.console_size.height;
  shim.console_width = record.host_config.console_size.width;
  shim.log = plan_log(record, directory);
  shim.exit_file = directory + "/exit";
  shim.shims_cgroup = input.shims_cgroup;
  shim.filter_directory = input.options->exec_root + "/filters";
  shim.foreign_runtime = plan_foreign_runtime(record.host_config, *input.options);
  shim.health = plan_health(record, *input.options);
}

}  // namespace

std::string cgroup_path(const ContainerRecord& record, const Options& options) {
  std::string parent =
      record.host_config.cgroup_parent.empty() ? options.cgroup_parent : record.host_config.cgroup_parent;
  if (options.cgroup_driver == "systemd") return concat(parent, ":mydocker:", record.id);
  if (!parent.starts_with("/")) parent = "/" + parent;
  return concat(clean_path(parent) == "/" ? "" : clean_path(parent), "/", record.id);
}

std::string shims_cgroup(const Options& options) {
  return options.cgroup_driver == "systemd" ? concat(options.cgroup_parent, ":mydocker:_shims")
                                            : options.cgroup_parent + "/_shims";
}

namespace {

/// What this engine may hand out: DESIGN 3.10, a bounding set may lack capabilities.
std::vector<std::string> available_capabilities() {
  const runtime::CapabilityMask mask = runtime::own_bounding_set() & runtime::own_effective_set();
  std::vector<std::string> names;
  for (const std::string& name : runtime::all_capabilities()) {
    const std::optional<unsigned> number = runtime::find_capability(name);
    if (number && runtime::has_capability(mask, *number)) names.push_back(name);
  }
  return names;
}

}  // namespace

std::vector<std::string> plan_capabilities(const api::HostConfig& host) {
  const std::vector<std::string> available = available_capabilities();
  const auto is_available = [&](const std::string& name) {
    return std::find(available.begin(), available.end(), name) != available.end();
  };
  std::set<std::string> add;
  std::set<std::string> drop;
  for (const std::string& name : host.cap_add.value_or(api::StringList{})) add.insert(normalize_capability(name));
  for (const std::string& name : host.cap_drop.value_or(api::StringList{})) drop.insert(normalize_capability(name));
  std::set<std::string> result;
  if (host.privileged || add.contains("ALL")) {
    result.insert(available.begin(), available.end());
  } else if (!drop.contains("ALL")) {
    for (const std::string& name : runtime::make_default_capabilities()) {
      if (is_available(name)) result.insert(name);
    }
  }
  if (!host.privileged) {
    for (const std::string& name : drop) result.erase(name);
    for (const std::string& name : add) {
      if (name == "ALL") continue;
      if (!is_available(name)) {
        invalid(concat("invalid CapAdd: the engine itself does not have the capability \"", name,
                       "\" and so cannot give it"));
      }
      result.insert(name);
    }
  }
  return {result.begin(), result.end()};
}

std::string effective_user(const std::string& configured) { return configured.empty() ? "0" : configured; }

LaunchPlan plan_launch(const LaunchInput& input) {
  const ContainerRecord& record = input.record;
  const api::HostConfig& host = record.host_config;
  LaunchPlan plan;
  runtime::Spec& spec = plan.spec;
  plan.mounts = plan_record_mounts(record);
  plan_network(input, plan);
  const bool host_names = host.uts_mode == "host" || plan.network_kind == NetworkKind::host;
  plan.hostname = record.config.hostname.empty() && host_names ? input.facts->host_name : record.config.hostname;

  spec.root.path = "rootfs";
  spec.root.readonly = host.readonly_rootfs;
  if (host.uts_mode != "host") {
    spec.hostname = plan.hostname;
    spec.domainname = record.config.domainname;
  }
  runtime::Process& process = spec.process;
  process.terminal = record.config.tty;
  process.args = {record.path};
  process.args.insert(process.args.end(), record.args.begin(), record.args.end());
  if (host.init.value_or(false)) process.args.insert(process.args.begin(), {std::string(init_in_container), "--"});
  process.env = plan_environment(record, plan.hostname);
  for (std::string& entry : plan_link_environment(input)) {
    const std::string key = entry.substr(0, entry.find('=') + 1);
    const bool given = std::any_of(process.env.begin(), process.env.end(),
                                   [&](const std::string& own) { return own.starts_with(key); });
    if (!given) process.env.push_back(std::move(entry));
  }
  process.cwd = record.config.working_dir.empty() ? "/" : record.config.working_dir;
  const std::vector<std::string> capabilities = plan_capabilities(host);
  process.capabilities = make_capability_sets(capabilities);
  process.rlimits = plan_rlimits(host, *input.options, &plan.shim.requested_rlimits);
  process.oom_score_adj = static_cast<std::int32_t>(host.oom_score_adj);

  spec.annotations = host.annotations;
  spec.linux.cgroups_path = cgroup_path(record, *input.options);
  spec.linux.resources = plan_limits(host);
  spec.linux.masked_paths = host.masked_paths.value_or(api::StringList{});
  spec.linux.readonly_paths = host.readonly_paths.value_or(api::StringList{});
  plan_devices(host, spec);
  plan_namespaces(input, plan);
  plan_sysctls(host, plan);
  plan_shim(input, plan);
  plan_seccomp(input, capabilities, plan);
  spec.mounts = plan_all_mounts(input, plan);
  return plan;
}

runtime::Process plan_exec_process(const ContainerRecord& record, const api::ExecCreateRequest& request,
                                   const Options& options) {
  runtime::Process process;
  process.terminal = request.tty;
  process.args = request.cmd;
  process.env = plan_environment(record, record.config.hostname);
  for (const std::string& entry : request.env) {
    const std::string key = entry.substr(0, entry.find('=')) + "=";
    std::erase_if(process.env, [&](const std::string& existing) { return existing.starts_with(key); });
    if (entry.find('=') != std::string::npos) process.env.push_back(entry);
  }
  const bool has_term = std::any_of(process.env.begin(), process.env.end(),
                                    [](const std::string& entry) { return entry.starts_with("TERM="); });
  if (request.tty && !has_term) process.env.emplace_back("TERM=xterm");
  process.cwd = !request.working_dir.empty()        ? request.working_dir
                : record.config.working_dir.empty() ? "/"
                                                    : record.config.working_dir;
  api::HostConfig host = record.host_config;
  host.privileged = host.privileged || request.privileged;
  process.capabilities = make_capability_sets(plan_capabilities(host));
  process.rlimits = plan_rlimits(record.host_config, options, nullptr);
  process.no_new_privileges = parse_security(record.host_config, options).no_new_privileges;
  process.oom_score_adj = static_cast<std::int32_t>(record.host_config.oom_score_adj);
  return process;
}

}  // namespace mydocker::engine
