#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "engine/base/log.h"
#include "engine/base/path.h"
#include "engine/base/sys.h"
#include "engine/container_files_view.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/pipe_download.h"
#include "engine/uploads.h"
#include "image/decompress.h"
#include "runtime/user.h"

/// ContainerArchive, ContainerArchiveInfo, PutContainerArchive: docker cp (WIRE 11).
namespace mydocker::engine {
namespace {

/// os.FileMode of Go: the permissions, and the kind in bits of its own.
std::uint32_t to_go_mode(std::uint32_t mode) {
  constexpr std::pair<std::uint32_t, std::uint32_t> kinds[] = {{S_IFDIR, 1U << 31}, {S_IFLNK, 1U << 27},
                                                               {S_IFBLK, 1U << 26}, {S_IFCHR, 1U << 26 | 1U << 21},
                                                               {S_IFIFO, 1U << 25}, {S_IFSOCK, 1U << 24}};
  std::uint32_t out = mode & 0777;
  for (const auto& [kind, bits] : kinds) {
    if ((mode & S_IFMT) == kind) out |= bits;
  }
  if ((mode & S_ISUID) != 0) out |= 1U << 23;
  if ((mode & S_ISGID) != 0) out |= 1U << 22;
  if ((mode & S_ISVTX) != 0) out |= 1U << 20;
  return out;
}

api::PathStat to_api(const storage::FileStat& stat) {
  api::PathStat out;
  out.name = stat.name;
  out.size_bytes = stat.size_bytes;
  out.mode = to_go_mode(stat.mode);
  out.modified_at = from_unix_nanoseconds(stat.mtime_ns);
  out.link_target = stat.link_target;
  return out;
}

storage::ContainerPath parse_container_path(const std::string& text) {
  if (text.empty()) throw Error(ErrorKind::invalid_argument, "bad parameter: path cannot be empty");
  if (text.find('\0') != std::string::npos) throw Error(ErrorKind::invalid_argument, "bad parameter: path holds a NUL");
  storage::ContainerPath path;
  path.path = clean_path(text);
  path.contents = text == "." || text.ends_with("/.");
  path.directory = path.contents || text.ends_with("/");
  return path;
}

/// Docker names the container as the request did.
[[noreturn]] void rethrow_missing(const Error& error, const std::string& path, const std::string& container) {
  if (error.kind() != ErrorKind::not_found) throw error;
  throw Error(ErrorKind::not_found, concat("Could not find the file ", path, " in container ", container));
}

/// Config.User as numbers, by the container's own passwd and group. Blocks.
std::optional<std::pair<std::uint32_t, std::uint32_t>> find_owner(const storage::ContainerFiles& files,
                                                                  const storage::ContainerView& view,
                                                                  const std::string& user) {
  if (user.empty()) return std::nullopt;
  const runtime::Identity identity =
      runtime::resolve_identity_in(files.read_file(view, "/etc/passwd"), files.read_file(view, "/etc/group"), user, {});
  return std::pair(identity.uid, identity.gid);
}

/// Numbers of sizes are forgotten for as long as somebody may write to the trees of a container at rest.
class SizeChange {
 public:
  SizeChange(EngineState& state, std::vector<std::string> keys) : state_(state), keys_(std::move(keys)) {}
  SizeChange(const SizeChange&) = delete;
  SizeChange& operator=(const SizeChange&) = delete;
  ~SizeChange() {
    for (std::size_t i = 0; i < begun_; ++i) state_.tree_sizes->end_change(keys_[i]);
  }
  awaitable<void> begin() {
    for (; begun_ < keys_.size(); ++begun_) co_await state_.tree_sizes->begin_change(keys_[begun_]);
  }

 private:
  EngineState& state_;
  std::vector<std::string> keys_;
  std::size_t begun_ = 0;
};

/// A client takes its time, but neither a thread nor the mounts of a removed container wait for it.
constexpr int download_stall_ms = 10 * 60 * 1000;

/// The way of an archive to its client; cut off when the container is removed. The worker that packs it stands in the
/// container's mount namespace, or has its layers mounted.
class ArchiveWay {
 public:
  explicit ArchiveWay(std::string container_id)
      : container_id_(std::move(container_id)), cut_(::eventfd(0, EFD_CLOEXEC)) {
    if (!cut_) throw sys_error("eventfd");
  }

  /// On a pool thread. Throws Error{conflict} once it is cut, Error{unavailable} when the client takes nothing.
  void write(int pipe, std::string_view data) const {
    while (!data.empty()) {
      const ssize_t done = retry_on_eintr([&] { return ::write(pipe, data.data(), data.size()); });
      if (done >= 0) {
        data.remove_prefix(static_cast<std::size_t>(done));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        wait_for_room(pipe);
      } else {
        throw sys_error("write archive");
      }
    }
  }
  /// I/O thread.
  void cut() const {
    if (::eventfd_write(cut_.get(), 1) != 0) log::warn("archive", {{"error", errno_text(errno)}});
  }
  bool over = false;  ///< I/O thread

 private:
  void wait_for_room(int pipe) const {
    pollfd both[] = {{.fd = pipe, .events = POLLOUT, .revents = 0}, {.fd = cut_.get(), .events = POLLIN, .revents = 0}};
    const int ready = retry_on_eintr([&] { return ::poll(both, 2, download_stall_ms); });
    if (ready < 0) throw sys_error("poll");
    if (both[1].revents != 0) throw Error(ErrorKind::conflict, concat("container ", container_id_, " was removed"));
    if (ready == 0) throw Error(ErrorKind::unavailable, "the client takes nothing");
  }

  std::string container_id_;
  UniqueFd cut_;
};

awaitable<void> cut_when_removed(ContainerPtr container, std::shared_ptr<ArchiveWay> way) {
  while (!container->removed && !way->over) co_await container->changed.wait();
  way->cut();
}

}  // namespace

awaitable<api::PathStat> Engine::stat_path(std::string id, std::string path) {
  EngineState& state = *state_;
  const storage::ContainerPath wanted = parse_container_path(path);
  const ContainerPtr container = state.containers.get(id);
  check_allowed(Verb::files, container->state, container->id(), container->name());
  const storage::ContainerView view = co_await make_files_view(state, container);
  co_return co_await blocking(state.transfer_pool, [&] {
    try {
      return to_api(state.container_files->stat(view, wanted));
    } catch (const Error& error) {
      rethrow_missing(error, path, id);
    }
  });
}

awaitable<ArchiveDownload> Engine::get_archive(std::string id, std::string path) {
  EngineState& state = *state_;
  const storage::ContainerPath wanted = parse_container_path(path);
  const ContainerPtr container = state.containers.get(id);
  check_allowed(Verb::files, container->state, container->id(), container->name());
  const storage::ContainerView view = co_await make_files_view(state, container);
  const auto packed = co_await blocking(state.transfer_pool, [&]() -> std::shared_ptr<storage::PackedFiles> {
    try {
      return state.container_files->pack(view, wanted);
    } catch (const Error& error) {
      rethrow_missing(error, path, id);
    }
  });
  publish(state, *container, "archive-path");
  ArchiveDownload out;
  out.stat = to_api(packed->stat());
  const auto way = std::make_shared<ArchiveWay>(container->id());
  spawn(state.io, "archive of " + container->id(), cut_when_removed(container, way));
  out.tar = start_download(state, [io = state.io, container, packed, way](int pipe) {
    const auto tell = [&] {
      asio::post(io, [container, way] {
        way->over = true;
        container->changed.notify_all();
      });
    };
    try {
      set_nonblocking(pipe);
      packed->write_to([&](std::string_view piece) { way->write(pipe, piece); });
    } catch (...) {
      tell();
      throw;
    }
    tell();
  });
  co_return out;
}

awaitable<void> Engine::put_archive(std::string id, ArchiveUpload options, UniqueFd body) {
  EngineState& state = *state_;
  const storage::ContainerPath wanted = parse_container_path(options.path);
  const ContainerPtr container = state.containers.get(id);
  Turn turn = co_await container->turns.take();
  if (!is_alive(container->state)) co_await wait_exit_handled(container);
  if (container->removed) throw Error(ErrorKind::not_found, concat("No such container: ", id));
  check_allowed(Verb::files, container->state, container->id(), container->name());
  const Upload upload(container);
  const storage::ContainerView view = co_await make_files_view(state, container);
  SizeChange sizes(state, view.mount_namespace ? std::vector<std::string>{} : size_keys(container->record));
  co_await sizes.begin();
  // A slow client must not keep a running container from being stopped.
  if (view.mount_namespace) turn = Turn();
  const std::string user = options.container_owns ? container->record.config.user : "";
  co_await blocking(state.transfer_pool, [&] {
    storage::ExtractRequest request;
    request.directory = wanted.path;
    request.keep_kinds = options.keep_kinds;
    request.owner = find_owner(*state.container_files, view, user);
    try {
      state.container_files->extract(view, request, [&](const std::function<void(std::string_view)>& sink) {
        image::decompress_fd(body.get(), sink, {}, [&] { upload.wait_for_input(body.get()); });
      });
    } catch (const Error& error) {
      rethrow_missing(error, options.path, id);
    }
  });
  publish(state, *container, "extract-to-dir");
}

}  // namespace mydocker::engine
