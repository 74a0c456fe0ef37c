#include "engine/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/endpoint_options.h"
#include "network/host_files.h"
#include "runtime/cgroup.h"

namespace mydocker::engine {
namespace {

/// Keeps the inode: the container has it bind-mounted, and shippers rewrite it in place.
void write_in_place(const std::string& path, std::string_view content) {
  const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
  write_all(fd.get(), content);
}

std::string host_file(const std::string& path) {
  return find_file_at(AT_FDCWD, path, std::size_t{1} << 20).value_or("");
}

std::vector<network::HostsEntry> extra_hosts(const ContainerRecord& record, const std::string& gateway) {
  std::vector<network::HostsEntry> entries;
  for (const std::string& text : record.host_config.extra_hosts.value_or(api::StringList{})) {
    entries.push_back(network::parse_extra_host(text, gateway));
  }
  return entries;
}

void write_hosts(const LaunchInput& input, const LaunchPlan& plan, const std::vector<EndpointRecord>& endpoints) {
  const std::string path = input.paths->container(input.record.id) + "/hosts";
  if (plan.network_kind == NetworkKind::host) {
    std::string text = host_file("/etc/hosts");
    for (const network::HostsEntry& entry : extra_hosts(input.record, "127.0.0.1")) {
      text += entry.address;
      for (const std::string& name : entry.names) text += "\t" + name;
      text += "\n";
    }
    return write_in_place(path, text);
  }
  // Before the network is there nobody knows its gateway: the file only has to be there for the bind.
  if (plan.network_kind == NetworkKind::attach && endpoints.empty()) {
    return write_in_place(path, network::make_hosts_file({}, {}));
  }
  const std::string gateway = endpoints.empty() ? "" : endpoints.front().gateway;
  std::vector<network::HostsEntry> own;
  for (const EndpointRecord& endpoint : endpoints) {
    own.push_back({endpoint.address, network::make_host_names(plan.hostname, input.record.config.domainname)});
  }
  std::vector<network::HostsEntry> extra = extra_hosts(input.record, gateway);
  for (const LinkedContainer& link : input.links) {
    network::HostsEntry entry{.address = link.address, .names = {link.alias}};
    if (link.hostname != link.alias) entry.names.push_back(link.hostname);
    if (link.name != link.alias) entry.names.push_back(link.name);
    extra.push_back(std::move(entry));
  }
  write_in_place(path, network::make_hosts_file(extra, own));
}

void write_name_files(const LaunchInput& input, const LaunchPlan& plan) {
  const std::string dir = input.paths->container(input.record.id);
  const api::HostConfig& host = input.record.host_config;
  write_in_place(dir + "/hostname", network::make_hostname_file(plan.hostname));
  network::ResolvConfOptions options;
  const auto choose = [](const std::optional<api::StringList>& asked, const std::vector<std::string>& engine_wide) {
    return asked && !asked->empty() ? *asked : engine_wide;
  };
  options.dns = choose(host.dns, input.options->dns);
  options.search = choose(host.dns_search, input.options->dns_search);
  options.options = choose(host.dns_options, input.options->dns_options);
  options.own_namespace = plan.network_kind != NetworkKind::host;
  write_in_place(dir + "/resolv.conf", network::make_resolv_conf(host_file("/etc/resolv.conf"), options));
}

void check_bind_sources(const std::vector<PlannedMount>& mounts) {
  for (const PlannedMount& mount : mounts) {
    if (mount.kind != PlannedMount::Kind::bind || ::access(mount.source.c_str(), F_OK) == 0) continue;
    if (!mount.create_source) {
      throw Error(ErrorKind::invalid_argument,
                  concat("invalid mount config for type \"bind\": bind source path does not exist: ", mount.source));
    }
    make_dirs(mount.source, 0755);
  }
}

/// A volume's sub-path is the volume's content: it is looked up inside of it, here for the message and by the runtime
/// for the mount (SECURITY C3).
void check_subpaths(const LaunchInput& input, const LaunchPlan& plan) {
  for (const PlannedMount& mount : plan.mounts) {
    if (mount.kind != PlannedMount::Kind::volume || mount.subpath.empty()) continue;
    const UniqueFd volume = open_file(input.paths->volume_data(mount.source), O_PATH | O_DIRECTORY);
    if (find_in_root(volume.get(), mount.subpath, O_PATH)) continue;
    throw Error(ErrorKind::invalid_argument, concat("cannot access path \"", mount.subpath, "\" of volume ",
                                                    mount.source, ": no such file or directory"));
  }
}

void write_bundle(const Prepared& prepared) {
  make_dirs(prepared.shim_dir + "/bundle/rootfs", 0700);
  write_in_place(prepared.shim_dir + "/bundle/config.json", write_json(to_json(prepared.plan.spec)));
  write_in_place(prepared.shim_dir + "/bundle/shim.json", write_json(to_json(prepared.plan.shim)));
}

std::vector<std::string> helper_environment() {
  std::vector<std::string> environment;
  if (const char* failpoints = ::secure_getenv("MYDOCKER_FAILPOINTS")) {
    environment.push_back(concat("MYDOCKER_FAILPOINTS=", failpoints));
  }
  return environment;
}

void make_sandbox_link(const std::string& link, const std::string& target) {
  if (target.empty()) return;
  make_dirs(link.substr(0, link.find_last_of('/')), 0711);
  if (::unlink(link.c_str()) != 0 && errno != ENOENT) throw sys_error("unlink ", link);
  if (::symlink(target.c_str(), link.c_str()) != 0) throw sys_error("symlink ", link);
}

constexpr int shim_end_ms = 5000;

/// A shim of a failed start ends by itself; one that does not is ended.
void reap_failed(const UniqueFd& pidfd) {
  if (!pidfd) return;
  if (!wait_readable(pidfd.get(), shim_end_ms)) signal_pidfd(pidfd.get(), SIGKILL);
  siginfo_t info{};
  retry_on_eintr([&] { return ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED); });
}

bool has_ended(pid_t pid, int patience_ms) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return !pidfd || wait_readable(pidfd.get(), patience_ms);
}

template <typename Step>
void try_cleanup(std::string_view what, Step step) {
  try {
    step();
  } catch (const Error& e) {
    log::warn("cleaning up after a failed start", {{"step", what}, {"error", e.message()}});
  }
}

}  // namespace

void Launcher::attach_network(const LaunchInput& input, Prepared& prepared, const runtime::ShimCreated& created) {
  failpoint("start.network");
  if (prepared.plan.network_kind == NetworkKind::none) network::setup_loopback(created.netns.get());
  if (prepared.plan.network_kind != NetworkKind::attach) return;
  const network::NetworkRecord record = networks_.get(prepared.plan.network_name);
  network::AttachRequest request;
  request.container_id = input.record.id;
  request.container_name = input.record.name;
  request.network_id = record.id;
  request.netns_fd = created.netns.get();
  request.ports = prepared.plan.ports;
  if (!input.record.config.mac_address.empty()) request.mac = input.record.config.mac_address;
  if (const auto asked = input.record.endpoint_settings.find(prepared.plan.network_name);
      asked != input.record.endpoint_settings.end()) {
    const EndpointOptions options = parse_endpoint_options(asked->second.driver_opts.value_or(api::StringMap{}));
    if (!options.interface.empty()) request.interface = options.interface;
    request.sysctls = options.sysctls;
    if (!asked->second.mac_address.empty()) request.mac = asked->second.mac_address;
    if (asked->second.ipam_config && !asked->second.ipam_config->ipv4_address.empty()) {
      request.ip = asked->second.ipam_config->ipv4_address;
    }
  }
  network::Attachment attachment = networks_.attach(request);
  prepared.endpoints.push_back(EndpointRecord{.network_id = record.id,
                                              .network_name = record.name,
                                              .endpoint_id = attachment.endpoint_id,
                                              .address = attachment.ip,
                                              .prefix_length = attachment.prefix_length,
                                              .gateway = attachment.gateway,
                                              .mac = attachment.mac});
  for (const network::PortBinding& port : attachment.ports) {
    prepared.ports[concat(port.container_port, "/", port.protocol)].push_back(
        api::PortBinding{.host_ip = port.host_ip, .host_port = std::to_string(port.host_port)});
  }
  if (!attachment.port_holders.empty()) prepared.shim->hold(attachment.port_holders);
}

Prepared Launcher::prepare(const LaunchInput& input, Trace& trace) {
  Prepared prepared;
  prepared.container_id = input.record.id;
  prepared.shim_dir = input.shim_dir;
  prepared.sandbox_key = input.sandbox_key;
  prepared.plan = plan_launch(input);
  prepared.cgroup = prepared.plan.spec.linux.cgroups_path;
  trace.mark("plan");
  check_bind_sources(prepared.plan.mounts);
  check_subpaths(input, prepared.plan);
  try {
    if (prepared.plan.network_kind != NetworkKind::container) {
      write_name_files(input, prepared.plan);
      write_hosts(input, prepared.plan, {});
    }
    write_bundle(prepared);
    trace.mark("bundle");
    failpoint("start.spawn");
    prepared.shim = std::make_shared<runtime::ShimClient>(
        runtime::ShimClient::spawn(shim_program_, prepared.shim_dir, helper_environment()));
    prepared.shim_pidfd = prepared.shim->take_process().release();
    trace.mark("spawn");
    const runtime::ShimCreated created = prepared.shim->create();
    trace.mark("create");
    for (const runtime::ShimTiming& timing : created.timings) {
      trace.add("shim." + timing.phase, std::chrono::nanoseconds(timing.nanoseconds));
    }
    try {
      attach_network(input, prepared, created);
    } catch (const Error&) {
      // A network namespace goes with an init stage that failed, a moment before its pidfd tells: then that failure is
      // the one to tell. One that lives is not started without its network.
      const NetworkKind kind = prepared.plan.network_kind;
      const bool lost = !created.netns && (kind == NetworkKind::none || kind == NetworkKind::attach);
      constexpr int end_patience_ms = 10'000;
      if (has_ended(created.pid, lost ? end_patience_ms : 0)) prepared.shim->start();
      throw;
    }
    if (prepared.plan.network_kind == NetworkKind::attach) write_hosts(input, prepared.plan, prepared.endpoints);
    make_sandbox_link(prepared.sandbox_key, created.netns_path);
    trace.mark("network");
  } catch (...) {  // torn down, newest first, and thrown again
    if (prepared.shim) try_cleanup("shim", [&] { prepared.shim->abandon(); });
    try_cleanup("reap", [&] { reap_failed(prepared.shim_pidfd); });
    try_cleanup("network", [&] { networks_.detach(input.record.id); });
    try_cleanup("files", [&] { clean_up(prepared.shim_dir, prepared.sandbox_key); });
    throw;
  }
  return prepared;
}

Launched Launcher::run(Prepared& prepared, const std::vector<PendingAttach>& attaches, Trace& trace) {
  try {
    for (const PendingAttach& pending : attaches) prepared.shim->attach(pending.request, pending.client.get());
    failpoint("start.run");
    UniqueFd events = prepared.shim->open_events();
    const runtime::ShimStarted started = prepared.shim->start();
    for (const runtime::ShimTiming& timing : started.timings) {
      trace.add("shim." + timing.phase, std::chrono::nanoseconds(timing.nanoseconds));
    }
    return Launched{.events = std::move(events),
                    .pid = started.pid,
                    .started_at_ns = started.started_at_ns,
                    .endpoints = prepared.endpoints,
                    .ports = prepared.ports};
  } catch (...) {  // as in prepare
    try_cleanup("shim", [&] { prepared.shim->abandon(); });
    try_cleanup("reap", [&] { reap_failed(prepared.shim_pidfd); });
    try_cleanup("network", [&] { networks_.detach(prepared.container_id); });
    try_cleanup("files", [&] { clean_up(prepared.shim_dir, prepared.sandbox_key); });
    throw;
  }
}

void Launcher::clean_up(const std::string& shim_dir, const std::string& sandbox_key) {
  ::unlink(sandbox_key.c_str());
  remove_tree(shim_dir);
}

void Launcher::clean_up_cgroup(const std::string& cgroup) {
  try {
    runtime::Cgroup left = runtime::Cgroup::open(cgroup);
    left.kill_all();
    left.remove();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::not_found) throw;
  }
}

}  // namespace mydocker::engine
