#include "engine/spec_mounts.h"

#include <algorithm>
#include <set>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

runtime::Mount make_bind(const std::string& source, const std::string& target, std::vector<std::string> options) {
  runtime::Mount mount;
  mount.destination = target;
  mount.type = "bind";
  mount.source = source;
  mount.options = std::move(options);
  return mount;
}

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

/// A volume of the local driver that is a mount of something else: its options are mount(8)'s.
runtime::Mount make_volume_mount(const PlannedMount& planned, const api::StringMap& options) {
  const auto option = [&](const char* key) {
    const auto found = options.find(key);
    return found == options.end() ? std::string() : found->second;
  };
  runtime::Mount mount;
  mount.destination = planned.target;
  mount.type = option("type");
  mount.source = option("device");
  mount.options = split_words(option("o"));
  const bool binds = std::find(mount.options.begin(), mount.options.end(), "bind") != mount.options.end() ||
                     std::find(mount.options.begin(), mount.options.end(), "rbind") != mount.options.end();
  if (mount.type == "none" && !binds) {
    throw Error(ErrorKind::invalid_argument,
                concat("volume ", planned.source, ": the type \"none\" needs the option \"bind\""));
  }
  if (binds) {
    mount.type = "bind";
    mount.options.emplace_back("rprivate");
  }
  if (planned.read_only) mount.options.emplace_back("ro");
  return mount;
}

/// The layers of an image, read-only.
runtime::Mount make_image_mount(const PlannedMount& planned, const std::vector<std::string>& layers) {
  std::vector<std::string> subpath;
  if (!planned.subpath.empty()) subpath.push_back("subpath=" + planned.subpath);
  if (layers.size() == 1) {
    std::vector<std::string> options = {"bind", "ro", "nosuid", "nodev", "rprivate"};
    options.insert(options.end(), subpath.begin(), subpath.end());
    return make_bind(layers.front(), planned.target, std::move(options));
  }
  runtime::Mount mount;
  mount.destination = planned.target;
  mount.type = "overlay";
  mount.source = "overlay";
  mount.options = {"ro", "nosuid", "nodev"};
  mount.options.insert(mount.options.end(), subpath.begin(), subpath.end());
  for (const std::string& layer : layers) mount.options.push_back("lowerdir+=" + layer);
  return mount;
}

runtime::Mount make_user_mount(const PlannedMount& planned, const LaunchInput& input) {
  if (planned.kind == PlannedMount::Kind::tmpfs) {
    runtime::Mount mount;
    mount.destination = planned.target;
    mount.type = "tmpfs";
    mount.source = "tmpfs";
    mount.options = planned.tmpfs_options;
    if (planned.read_only) mount.options.emplace_back("ro");
    return mount;
  }
  if (planned.kind == PlannedMount::Kind::image)
    return make_image_mount(planned, input.image_layers.at(planned.target));
  const bool volume = planned.kind == PlannedMount::Kind::volume;
  if (volume && planned.subpath.empty()) {
    const auto options = input.record.volume_options.find(planned.source);
    if (options != input.record.volume_options.end()) return make_volume_mount(planned, options->second);
  }
  std::vector<std::string> options = {planned.recursive ? "rbind" : "bind"};
  options.push_back(volume || planned.propagation.empty() ? "rprivate" : planned.propagation);
  if (planned.read_only) options.emplace_back(planned.read_only_recursive && planned.recursive ? "rro" : "ro");
  if (!planned.subpath.empty()) options.push_back("subpath=" + planned.subpath);
  return make_bind(volume ? input.paths->volume_data(planned.source) : planned.source, planned.target,
                   std::move(options));
}

void drop_option(std::vector<std::string>& options, std::string_view word) {
  options.erase(std::remove(options.begin(), options.end(), word), options.end());
}

}  // namespace

std::vector<runtime::Mount> plan_all_mounts(const LaunchInput& input, const LaunchPlan& plan) {
  const api::HostConfig& host = input.record.host_config;
  std::vector<runtime::Mount> mounts = runtime::make_default_mounts(host.shm_size_bytes);
  std::set<std::string> taken;
  for (const PlannedMount& mount : plan.mounts) taken.insert(mount.target);
  std::erase_if(mounts, [&](const runtime::Mount& mount) {
    return taken.contains(mount.destination) || (host.ipc_mode == "none" && mount.destination == "/dev/shm");
  });
  for (runtime::Mount& mount : mounts) {
    if (host.privileged && mount.destination.starts_with("/sys")) drop_option(mount.options, "ro");
    // mqueue shows the queues of the ipc namespace it is mounted in: the host's needs no bind.
    if (host.ipc_mode == "host" && mount.destination == "/dev/shm") {
      mount = make_bind(mount.destination, mount.destination, {"rbind", "rprivate"});
    }
    // The donor's own, found inside its mount namespace.
    if (host.ipc_mode.starts_with("container:") && mount.destination == "/dev/shm") {
      mount = make_bind(mount.destination, mount.destination,
                        {"bind", "rprivate", concat("mount-namespace=/proc/", input.ipc_owner_pid, "/ns/mnt")});
    }
  }
  const bool shares_network = plan.network_kind == NetworkKind::container;
  const std::string files = input.paths->container(shares_network ? input.network_owner_id : input.record.id);
  for (const std::string_view name : {"resolv.conf", "hostname", "hosts"}) {
    const std::string target = concat("/etc/", name);
    if (!taken.contains(target)) mounts.push_back(make_bind(concat(files, "/", name), target, {"bind", "rprivate"}));
  }
  if (host.init.value_or(false)) {
    mounts.push_back(make_bind(input.init_program, std::string(init_in_container), {"bind", "ro", "rprivate"}));
  }
  for (const PlannedMount& mount : plan.mounts) mounts.push_back(make_user_mount(mount, input));
  return mounts;
}

}  // namespace mydocker::engine
