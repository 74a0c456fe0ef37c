#include "storage/container_files.h"

#include <fcntl.h>

#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t longest_stat_line = 64 * 1024;
constexpr std::size_t copy_bytes = 256 * 1024;

/// The worker's descriptor 4: the mount namespace, or something for the number to be taken.
UniqueFd root_of(const ContainerView& view) {
  return view.mount_namespace ? duplicate_fd(view.mount_namespace.get())
                              : open_file(view.stack.upper, O_PATH | O_DIRECTORY);
}

WorkerProcess start_worker(const WorkerOptions& options, const WorkerRequest& request, const ContainerView& view,
                           WorkerPipe pipe) {
  return WorkerProcess(options, request, root_of(view).get(), pipe, view.root.get());
}

}  // namespace

PackedFiles::PackedFiles(const WorkerOptions& options, const WorkerRequest& request, const ContainerView& view)
    : worker_(start_worker(options, request, view, WorkerPipe::output)) {
  std::string line;
  char next = 0;
  while (worker_.read(&next, 1) == 1 && next != '\n') {
    line.push_back(next);
    if (line.size() > longest_stat_line) throw Error(ErrorKind::internal, "worker pack: no line at the beginning");
  }
  if (next != '\n') {
    worker_.finish();  // throws the reason
    throw Error(ErrorKind::internal, "worker pack: ended before its first line");
  }
  read_json(parse_json(line), "", stat_);
}

void PackedFiles::write_to(const std::function<void(std::string_view)>& sink) {
  std::string buffer(copy_bytes, '\0');
  while (const std::size_t got = worker_.read(buffer.data(), buffer.size())) {
    sink(std::string_view(buffer.data(), got));
  }
  worker_.finish();
}

WorkerRequest ContainerFiles::make_request(std::string_view job, const ContainerView& view, bool scratch) const {
  WorkerRequest request;
  request.job = job;
  request.limits = worker_.limits;
  if (view.mount_namespace) return request;
  request.stack = view.stack;
  request.mounts = view.mounts;
  request.scratch = scratch;
  return request;
}

FileStat ContainerFiles::stat(const ContainerView& view, const ContainerPath& path) const {
  WorkerRequest request = make_request("stat", view, true);
  request.source_path = path.path;
  request.follow = path.directory;
  return start_worker(worker_, request, view, WorkerPipe::none).finish().stat;
}

std::unique_ptr<PackedFiles> ContainerFiles::pack(const ContainerView& view, const ContainerPath& path) const {
  WorkerRequest request = make_request("pack", view, true);
  request.source_path = path.path;
  request.follow = path.directory;
  request.contents = path.contents;
  return std::make_unique<PackedFiles>(worker_, request, view);
}

void ContainerFiles::extract(
    const ContainerView& view, const ExtractRequest& wanted,
    const std::function<void(const std::function<void(std::string_view)>& sink)>& source) const {
  WorkerRequest request = make_request("extract", view, false);
  request.source_path = wanted.directory;
  request.keep_kinds = wanted.keep_kinds;
  if (wanted.owner) {
    request.set_owner = true;
    request.uid = wanted.owner->first;
    request.gid = wanted.owner->second;
  }
  WorkerProcess worker = start_worker(worker_, request, view, WorkerPipe::input);
  source([&worker](std::string_view plain) { worker.write(plain); });
  worker.finish();
}

std::string ContainerFiles::read_file(const ContainerView& view, const std::string& path) const {
  WorkerRequest request = make_request("read", view, true);
  request.source_path = path;
  WorkerProcess worker = start_worker(worker_, request, view, WorkerPipe::output);
  std::string content;
  std::string buffer(copy_bytes, '\0');
  while (const std::size_t got = worker.read(buffer.data(), buffer.size())) content.append(buffer.data(), got);
  worker.finish();
  return content;
}

}  // namespace mydocker::storage
