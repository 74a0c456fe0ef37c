#include "storage/worker/container_jobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <deque>
#include <vector>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "storage/tar_diff.h"
#include "storage/tar_extract.h"
#include "storage/worker/confine.h"

namespace mydocker::storage {
namespace {

constexpr int most_links = 40;  // as the kernel's own limit (man 7 path_resolution)
constexpr std::size_t most_steps = 4096;
constexpr std::size_t small_file_bytes = std::size_t{1} << 20;
constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;

UniqueFd enter_view(const WorkerRequest& request) {
  isolate();
  failpoint("worker.isolated");
  if (request.stack.lower.empty()) {
    UniqueFd root = join_container(worker_root, worker_container_root);
    ::close(worker_root);
    ::close(worker_container_root);
    return root;
  }
  ::close(worker_root);
  const UniqueFd root = mount_view(request.stack, request.scratch, request.mounts);
  pivot_to(root.get());
  return open_file("/", O_PATH | O_DIRECTORY);
}

void confine(const WorkerRequest& request, Rights rights) {
  drop_rights(rights, request.limits.worker_memory_bytes, request.limits.file_bytes);
}

std::string base_name(const std::string& path) { return path == "/" ? path : path.substr(path.rfind('/') + 1); }

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

Error no_such_file(const std::string& path) {
  return Error(ErrorKind::not_found, concat("no such file: ", path), ENOENT);
}

/// Where the path leads, by names: links followed inside the root, as far as there is something. A fact for the client,
/// never a path that is opened.
std::string resolve_names(int root, const std::string& path) {
  std::vector<std::string> done;
  std::deque<std::string> rest;
  const auto push_front = [&rest](std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
      const std::string_view part = text.substr(0, text.find('/'));
      text.remove_prefix(std::min(part.size() + 1, text.size()));
      if (!part.empty() && part != ".") parts.emplace_back(part);
    }
    rest.insert(rest.begin(), parts.begin(), parts.end());
  };
  const auto joined = [&done] {
    std::string text;
    for (const std::string& part : done) text += "/" + part;
    return text.empty() ? std::string("/") : text;
  };
  push_front(path);
  int links = 0;
  for (std::size_t step = 0; !rest.empty() && step < most_steps; ++step) {
    const std::string part = std::move(rest.front());
    rest.pop_front();
    if (part == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    done.push_back(part);
    const UniqueFd found = find_in_root(root, joined(), O_PATH | O_NOFOLLOW);
    struct stat status{};
    if (!found || ::fstat(found.get(), &status) != 0 || !S_ISLNK(status.st_mode) || ++links > most_links) continue;
    std::string text(4096, '\0');
    const ssize_t length = ::readlinkat(found.get(), "", text.data(), text.size());
    if (length <= 0) continue;
    text.resize(static_cast<std::size_t>(length));
    done.pop_back();
    if (text.starts_with('/')) done.clear();
    push_front(text);
  }
  return joined();
}

/// The path itself: a link at its end is the link, unless the request says that it must be a directory.
UniqueFd open_path(int root, const WorkerRequest& request) {
  const int flags = O_PATH | (request.follow ? O_DIRECTORY : O_NOFOLLOW);
  UniqueFd found = find_in_root(root, request.source_path, flags);
  if (!found) throw no_such_file(request.source_path);
  return found;
}

FileStat describe(int root, int file, const std::string& path) {
  struct stat status{};
  if (::fstat(file, &status) != 0) throw sys_error("stat ", path);
  FileStat out;
  out.name = base_name(path);
  out.size_bytes = status.st_size;
  out.mode = status.st_mode;
  out.mtime_ns = status.st_mtim.tv_sec * nanoseconds_per_second + status.st_mtim.tv_nsec;
  if (S_ISLNK(status.st_mode)) out.link_target = resolve_names(root, path);
  return out;
}

std::uint64_t mount_id(int fd) {
  struct statx status{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0) throw sys_error("statx");
  return status.stx_mnt_id;
}

void check_writable(int root, int directory) {
  struct statvfs status{};
  if (::fstatvfs(directory, &status) != 0) throw sys_error("statvfs");
  if ((status.f_flag & ST_RDONLY) == 0) return;
  const bool in_rootfs = mount_id(root) == mount_id(directory);
  throw Error(ErrorKind::invalid_argument,
              in_rootfs ? "container rootfs is marked read-only" : "mounted volume is marked read-only", EROFS);
}

}  // namespace

FileStat stat_file(const WorkerRequest& request) {
  const UniqueFd root = enter_view(request);
  confine(request, Rights::read);
  return describe(root.get(), open_path(root.get(), request).get(), request.source_path);
}

void pack_file(const WorkerRequest& request, const OutputSink& output) {
  const UniqueFd root = enter_view(request);
  confine(request, Rights::read);
  const UniqueFd file = open_path(root.get(), request);
  const FileStat stat = describe(root.get(), file.get(), request.source_path);
  output(write_json(to_json(stat)) + "\n");
  const std::string member = request.contents ? "." : stat.name;
  if (request.follow || request.source_path == "/") {
    write_member(file.get(), ".", member, request.limits.name_bytes, output);
    return;
  }
  const UniqueFd parent = open_in_root(root.get(), parent_of(request.source_path), O_PATH | O_DIRECTORY);
  write_member(parent.get(), stat.name, member, request.limits.name_bytes, output);
}

void extract_files(const WorkerRequest& request, const ByteSource& input) {
  const UniqueFd root = enter_view(request);
  confine(request, Rights::copy);
  const UniqueFd target = find_in_root(root.get(), request.source_path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!target) throw no_such_file(request.source_path);
  struct stat status{};
  if (::fstat(target.get(), &status) != 0) throw sys_error("stat ", request.source_path);
  if (!S_ISDIR(status.st_mode))
    throw Error(ErrorKind::invalid_argument, "extraction point is not a directory", ENOTDIR);
  check_writable(root.get(), target.get());
  ExtractOptions options;
  options.limits = request.limits;
  options.destination = request.source_path;
  options.keep_kinds = request.keep_kinds;
  if (request.set_owner) options.owner = {request.uid, request.gid};
  extract_tar(input, target.get(), options);
}

void read_small_file(const WorkerRequest& request, const OutputSink& output) {
  const UniqueFd root = enter_view(request);
  confine(request, Rights::read);
  const UniqueFd file = find_in_root(root.get(), request.source_path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  output(read_all(file.get(), small_file_bytes, request.source_path));
}

}  // namespace mydocker::storage
