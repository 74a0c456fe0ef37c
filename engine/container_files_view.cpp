#include "engine/container_files_view.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "engine/base/sys.h"
#include "engine/container_view.h"

namespace mydocker::engine {
namespace {

struct NamespaceId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const NamespaceId&) const = default;
};

NamespaceId identify(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw sys_error("stat of a namespace");
  return {status.st_dev, status.st_ino};
}

/// The mount namespace and root of the container's PID 1. The shim, its parent, is asked after the descriptor was
/// opened: as long as it has not reaped the process, the number cannot have come to mean another one.
storage::ContainerView open_running(runtime::ShimClient& shim, int pid) {
  storage::ContainerView view;
  view.mount_namespace = find_at(AT_FDCWD, concat("/proc/", pid, "/ns/mnt"), O_RDONLY);
  view.root = find_at(AT_FDCWD, concat("/proc/", pid, "/root"), O_PATH | O_DIRECTORY);
  const runtime::ShimSnapshot snapshot = shim.snapshot();
  if (!view.mount_namespace || !view.root || snapshot.state != "running" || snapshot.pid != pid) {
    throw Error(ErrorKind::conflict, "the container has just ended");
  }
  if (identify(view.mount_namespace.get()) == identify(open_file("/proc/self/ns/mnt", O_RDONLY).get())) {
    throw Error(ErrorKind::internal, "the container has no mount namespace of its own");
  }
  return view;
}

/// nullopt: a mount that is there while the container runs only.
std::optional<storage::ViewMount> to_view_mount(const PlannedMount& mount, const ContainerRecord& record,
                                                const storage::Paths& paths) {
  storage::ViewMount out{.source = mount.source,
                         .subpath = mount.subpath,
                         .target = mount.target,
                         .read_only = mount.read_only,
                         .recursive = mount.recursive};
  if (mount.kind == PlannedMount::Kind::bind) return out;
  if (mount.kind != PlannedMount::Kind::volume) return std::nullopt;
  out.source = paths.volume_data(mount.source);
  const auto options = record.volume_options.find(mount.source);
  if (options == record.volume_options.end()) return out;
  const auto type = options->second.find("type");
  if (type == options->second.end() || type->second != "none") return std::nullopt;
  out.source = options->second.at("device");  // a bind
  return out;
}

/// Blocks.
std::vector<storage::ViewMount> list_view_mounts(EngineState& state, const ContainerRecord& record) {
  std::vector<storage::ViewMount> mounts;
  for (const std::string_view name : {"resolv.conf", "hostname", "hosts"}) {
    const std::string file = concat(state.paths.container(record.id), "/", name);
    if (!path_exists(file)) continue;  // before the first start
    mounts.push_back(
        {.source = file, .subpath = "", .target = concat("/etc/", name), .read_only = false, .recursive = false});
  }
  for (const PlannedMount& mount : plan_record_mounts(record)) {
    const std::optional<storage::ViewMount> shown = to_view_mount(mount, record, state.paths);
    if (!shown) continue;
    if (mount.create_source && !path_exists(mount.source)) make_dirs(mount.source, 0755);
    std::erase_if(mounts, [&](const storage::ViewMount& own) { return own.target == mount.target; });
    mounts.push_back(*shown);
  }
  return mounts;
}

}  // namespace

awaitable<storage::ContainerView> make_files_view(EngineState& state, ContainerPtr container) {
  const ContainerRecord record = container->record;
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  const bool alive = is_alive(container->state) && shim && record.pid != 0;
  co_return co_await blocking(state.disk_pool, [&] {
    if (alive) return open_running(*shim, record.pid);
    storage::ContainerView view;
    view.stack =
        state.container_layers->mount(record.id, record.chain_id.empty() ? Digest() : Digest::parse(record.chain_id));
    view.stack.read_only = record.host_config.readonly_rootfs;
    view.mounts = list_view_mounts(state, record);
    return view;
  });
}

}  // namespace mydocker::engine
