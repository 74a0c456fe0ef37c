#include "storage/container_layers.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "storage/tar_walk.h"
#include "storage/trash.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t most_change_bytes = std::size_t{256} << 20;

void make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0) {
    if (errno == EEXIST) return;
    throw sys_error("mkdir ", path);
  }
  if (::chmod(path.c_str(), mode) != 0) throw sys_error("chmod ", path);  // whatever the umask was
}

void make_init_layer(const std::string& path, const std::string& aside) {
  if (path_exists(path)) return;
  make_directory(aside, 0755);
  for (const char* name : {"dev", "dev/pts", "dev/shm", "etc", "proc", "sys"}) {
    make_directory(concat(aside, "/", name), 0755);
  }
  for (const char* name : {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}) {
    open_file(concat(aside, "/", name), O_WRONLY | O_CREAT | O_EXCL, 0755);
    if (::chmod(concat(aside, "/", name).c_str(), name[0] == '.' ? 0755 : 0644) != 0) throw sys_error("chmod ", name);
  }
  if (::symlink("/proc/mounts", concat(aside, "/etc/mtab").c_str()) != 0) throw sys_error("symlink mtab");
  if (::rename(aside.c_str(), path.c_str()) != 0) throw sys_error("rename ", path);
}

std::vector<Change> parse_changes(std::string_view text) {
  std::vector<Change> changes;
  while (!text.empty()) {
    const std::string_view record = text.substr(0, text.find('\0'));
    text.remove_prefix(std::min(record.size() + 1, text.size()));
    if (record.size() < 2) throw Error(ErrorKind::internal, "changes: broken record");
    changes.push_back(Change{concat("/", record.substr(1)), static_cast<ChangeKind>(record[0] - '0')});
  }
  std::sort(changes.begin(), changes.end());
  return changes;
}

}  // namespace

struct ContainerLayers::Impl {
  Impl(LayerStore& layers_, const Paths& paths_, WorkerOptions worker_)
      : layers(layers_), paths(paths_), worker(std::move(worker_)), trash(paths_.tmp()) {}

  UniqueFd open_upper(std::string_view id) const {
    UniqueFd upper = find_at(AT_FDCWD, paths.upper(id), O_RDONLY | O_DIRECTORY);
    if (!upper) throw Error(ErrorKind::not_found, concat("container ", id, " has no writable layer"));
    return upper;
  }

  std::vector<std::string> lower_dirs(const Digest& chain_id) const {
    std::vector<std::string> dirs{paths.init_layer()};
    for (std::string& dir : layers.lower_dirs(chain_id)) dirs.push_back(std::move(dir));
    return dirs;
  }

  WorkerRequest request(std::string_view job) const {
    WorkerRequest out;
    out.job = job;
    out.limits = worker.limits;
    return out;
  }

  /// Runs a job whose output goes on to `out`.
  void stream(const WorkerRequest& job, int root, int out) const {
    WorkerProcess process(worker, job, root, WorkerPipe::output);
    std::vector<char> buffer(std::size_t{256} << 10);
    while (const std::size_t got = process.read(buffer.data(), buffer.size())) {
      write_all(out, std::string_view(buffer.data(), got));
    }
    process.finish();
  }

  LayerStore& layers;
  Paths paths;
  WorkerOptions worker;
  Trash trash;
};

ContainerLayers::ContainerLayers(LayerStore& layers, const Paths& paths, WorkerOptions worker)
    : impl_(std::make_unique<Impl>(layers, paths, std::move(worker))) {
  make_init_layer(paths.init_layer(), impl_->trash.make_name("init"));
}
ContainerLayers::~ContainerLayers() = default;

void ContainerLayers::create(std::string_view id) {
  failpoint("container.create_directories");
  make_directory(impl_->paths.container(id), 0700);
  make_directory(impl_->paths.upper(id), 0755);  // becomes the container's "/"
  make_directory(impl_->paths.work(id), 0700);
}

void ContainerLayers::remove(std::string_view id) {
  failpoint("container.remove_directories");
  impl_->trash.discard(impl_->paths.container(id));
}

void ContainerLayers::recover(const std::vector<std::string>& known) {
  const std::set<std::string> kept(known.begin(), known.end());
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(impl_->paths.containers().c_str()), ::closedir);
  if (!dir) throw sys_error("open ", impl_->paths.containers());
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && !kept.contains(name)) {
      impl_->trash.discard(concat(impl_->paths.containers(), "/", name));
    }
  }
  for (const std::string& id : known) create(id);  // a crash may have come between its row and its directories
}

OverlayMount ContainerLayers::mount(std::string_view id, const Digest& chain_id) {
  create(id);
  OverlayMount mount;
  mount.lower = impl_->lower_dirs(chain_id);
  mount.upper = impl_->paths.upper(id);
  mount.work = impl_->paths.work(id);
  return mount;
}

std::vector<Change> ContainerLayers::changes(std::string_view id, const Digest& chain_id) {
  const UniqueFd upper = impl_->open_upper(id);
  WorkerRequest request = impl_->request("changes");
  request.stack.lower = impl_->lower_dirs(chain_id);
  WorkerProcess process(impl_->worker, request, upper.get(), WorkerPipe::output);
  std::string text;
  std::vector<char> buffer(std::size_t{64} << 10);
  while (const std::size_t got = process.read(buffer.data(), buffer.size())) {
    if (text.size() + got > most_change_bytes) throw Error(ErrorKind::too_large, "too many changes to list");
    text.append(buffer.data(), got);
  }
  process.finish();
  return parse_changes(text);
}

void ContainerLayers::export_tar(std::string_view id, const Digest& chain_id, int out) {
  const UniqueFd upper = impl_->open_upper(id);
  WorkerRequest request = impl_->request("export");
  request.stack.lower = impl_->lower_dirs(chain_id);
  request.stack.lower.insert(request.stack.lower.begin(), impl_->paths.upper(id));
  impl_->stream(request, upper.get(), out);
}

void ContainerLayers::diff_tar(std::string_view id, int out) {
  const UniqueFd upper = impl_->open_upper(id);
  impl_->stream(impl_->request("diff"), upper.get(), out);
}

std::int64_t ContainerLayers::size_bytes(std::string_view id) {
  const UniqueFd upper = impl_->open_upper(id);
  if (list_directory(upper.get()).empty()) return 0;  // most containers: no process is worth it
  WorkerProcess process(impl_->worker, impl_->request("size"), upper.get(), WorkerPipe::none);
  return process.finish().size_bytes;
}

}  // namespace mydocker::storage
