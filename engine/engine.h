#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/types/container.h"
#include "api/types/event.h"
#include "api/types/exec.h"
#include "api/types/explain.h"
#include "api/types/image.h"
#include "api/types/network.h"
#include "api/types/progress.h"
#include "api/types/stats.h"
#include "api/types/system.h"
#include "api/types/volume.h"
#include "engine/async.h"
#include "engine/base/trace.h"
#include "engine/base/unique_fd.h"
#include "engine/options.h"
#include "engine/request_book.h"

namespace mydocker::engine {

struct EngineState;

/// The `filters` query: key -> values. Parsed by api/server; the engine checks keys and values.
using Filters = std::map<std::string, std::vector<std::string>>;

/// The client's raw connection after a hijack, and the bytes of it that were read too far.
struct HijackedClient {
  UniqueFd socket;
  std::string pending_input;
};
/// Writes the 101/200 head and gives the connection away; called by a verb once nothing can fail with a status any
/// more. `framed` = stdcopy frames will follow (decides the media type, WIRE 4.2).
using Hijack = std::function<awaitable<HijackedClient>(bool framed)>;

struct CreateOptions {
  std::string name;      ///< "" = generated
  std::string platform;  ///< "" = any
  int api_minor = 51;    ///< of "1.51": the dialect's switches (WIRE 1.4)
};

struct StopOptions {
  std::optional<int> timeout_seconds;  ///< absent: Config.StopTimeout, else 10; -1 = wait for ever
  std::string signal;                  ///< "" = Config.StopSignal, else SIGTERM
};

struct RemoveOptions {
  bool force = false;
  bool volumes = false;
  bool link = false;
};

struct ListOptions {
  bool all = false;
  int limit = 0;  ///< <= 0: none
  bool size = false;
  Filters filters;
};

enum class WaitCondition { not_running, next_exit, removed };

/// One ContainerWait: made when the request comes (so that no exit after it is missed), awaited later.
class ExitWait {
 public:
  virtual ~ExitWait() = default;
  virtual awaitable<api::WaitResponse> result() = 0;
};

struct AttachOptions {
  bool stream = false;
  bool logs = false;
  bool stdin_ = false;
  bool stdout_ = false;
  bool stderr_ = false;
  std::string detach_keys;  ///< as in the query; "" = the default
  bool raw = false;         ///< both streams as they come, never in frames (websocket, WIRE 5.5)
};

struct LogsOptions {
  bool follow = false;
  bool stdout_ = false;
  bool stderr_ = false;
  bool timestamps = false;
  bool details = false;
  std::string since;  ///< WIRE 2.7
  std::string until;
  std::string tail = "all";  ///< a number, or all
};

/// A stream of ready bytes for the client: logs.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// The next piece; nullopt at the end. Cancellable.
  virtual awaitable<std::optional<std::string>> next() = 0;
};

struct LogStream {
  bool framed = false;  ///< false: the container has a tty
  std::unique_ptr<ByteStream> bytes;
};

/// The lines of a pull, load, import, ...: one JSON object each, without line end. A failure before the first line
/// throws from the first next() (an HTTP status); after that the caller writes it as the last line (WIRE 8).
class ProgressStream {
 public:
  virtual ~ProgressStream() = default;  ///< cancels the work when it still runs
  virtual awaitable<std::optional<api::ProgressMessage>> next() = 0;
};

/// A tar that the engine makes on a pool thread while the caller reads: export, save.
class Download {
 public:
  virtual ~Download() = default;  ///< closing the read end early ends the work
  /// Read until the end of file, then await `finish`.
  virtual UniqueFd take_pipe() = 0;
  /// Throws what went wrong after the first byte.
  virtual awaitable<void> finish() = 0;
};

/// A file or directory of a container on its way out (docker cp).
struct ArchiveDownload {
  api::PathStat stat;
  std::unique_ptr<Download> tar;
};

struct ArchiveUpload {
  std::string path;             ///< an existing directory of the container
  bool keep_kinds = false;      ///< noOverwriteDirNonDir
  bool container_owns = false;  ///< copyUIDGID: everything belongs to the container's user
};

/// Events as they come, the asked-for past first.
class EventStream {
 public:
  virtual ~EventStream() = default;
  /// nullopt: `until` has passed, or the engine stops.
  virtual awaitable<std::optional<api::Event>> next() = 0;
};

struct EventOptions {
  std::string since;  ///< WIRE 2.7
  std::string until;
  Filters filters;
};

struct PullRequest {
  std::string from_image;
  std::string tag;  ///< tag or digest; "" together with no tag in from_image = all tags
  std::string platform;
  api::AuthConfig auth;
};

struct ImportRequest {
  std::string source;  ///< "-" = the body
  std::string repository;
  std::string tag;
  std::string message;
  std::string platform;
  std::vector<std::string> changes;
};

struct ImageListOptions {
  bool all = false;
  bool shared_size = false;
  Filters filters;
  int api_minor = 51;
};

/// Samples of a container's use, one a second (WIRE 18).
class StatsStream {
 public:
  virtual ~StatsStream() = default;
  /// The next sample, waiting for its time; nullopt once the container is removed. Cancellable.
  virtual awaitable<std::optional<api::Stats>> next() = 0;
};

/// Which lists a DiskUsage has (`type` of GET /system/df).
struct DiskUsageOptions {
  bool images = true;  ///< also LayersSize
  bool containers = true;
  bool volumes = true;
  bool build_cache = true;
};

enum class StatsMode { stream, single, one_shot };

struct CommitRequest {
  std::string container;
  std::string repository;
  std::string tag;
  std::string comment;
  std::string author;
  bool pause = true;
  std::vector<std::string> changes;
  std::optional<api::ContainerConfig> config;  ///< the body, when there is one
};

/// Everything the API can do, one coroutine per verb. All members are called on the one I/O thread; none blocks it.
/// A verb that changes something runs to its end even when its client hangs up; `next()` of a stream is cancellable.
/// Errors are `Error` with the kinds of ENDPOINTS/WIRE; an error leaves nothing behind, success is durable.
class Engine {
 public:
  Engine(asio::any_io_executor io, Options options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Takes over what an earlier engine left: database, shims, networks, layers. Before the first request.
  awaitable<void> recover();
  /// Lets running verbs finish and ends the streams; containers run on.
  awaitable<void> shutdown();

  // Containers. `id` = full ID, name, or unique prefix (WIRE 13).
  awaitable<api::ContainerCreateResponse> create(api::ContainerCreateRequest request, CreateOptions options);
  awaitable<void> start(std::string id);
  awaitable<void> stop(std::string id, StopOptions options);
  awaitable<void> restart(std::string id, StopOptions options);
  awaitable<void> kill(std::string id, std::string signal);
  awaitable<void> pause(std::string id);
  awaitable<void> unpause(std::string id);
  awaitable<void> rename(std::string id, std::string new_name);
  awaitable<void> remove(std::string id, RemoveOptions options);
  awaitable<void> resize(std::string id, int height, int width);
  awaitable<api::TopResponse> top(std::string id, std::string ps_args);
  awaitable<std::vector<api::Change>> changes(std::string id);
  awaitable<std::unique_ptr<Download>> export_container(std::string id);
  /// A path as the container sees it, volumes and all. Throws not_found "Could not find the file X in container Y".
  awaitable<api::PathStat> stat_path(std::string id, std::string path);
  awaitable<ArchiveDownload> get_archive(std::string id, std::string path);
  /// Unpacks `body` (a tar, compressed or not).
  awaitable<void> put_archive(std::string id, ArchiveUpload options, UniqueFd body);
  awaitable<api::ContainerInspect> inspect(std::string id, bool size);
  awaitable<std::vector<api::ContainerSummary>> list(ListOptions options);
  /// Throws not_found at once.
  std::unique_ptr<ExitWait> wait(const std::string& id, WaitCondition condition);
  /// Returns when the session was handed to the shim; the connection is no longer ours then.
  awaitable<void> attach(std::string id, AttachOptions options, Hijack hijack);
  awaitable<LogStream> logs(std::string id, LogsOptions options);

  awaitable<api::UpdateResponse> update(std::string id, api::UpdateRequest request);
  std::unique_ptr<StatsStream> stats(const std::string& id, StatsMode mode);
  /// Makes an image of a container; the new image's ID.
  awaitable<std::string> commit(CommitRequest request);
  awaitable<api::ContainersPruneReport> prune_containers(Filters filters);

  // Exec
  awaitable<std::string> create_exec(std::string id, api::ExecCreateRequest request);
  /// `request.detach`: returns after the start and never hijacks. Else as attach.
  awaitable<void> start_exec(std::string exec_id, api::ExecStartRequest request, Hijack hijack);
  awaitable<void> resize_exec(std::string exec_id, int height, int width);
  awaitable<api::ExecInspect> inspect_exec(std::string exec_id);

  // Images. `name` = reference, ID or prefix (WIRE 20).
  std::unique_ptr<ProgressStream> pull(PullRequest request);
  std::unique_ptr<ProgressStream> load(UniqueFd body, bool quiet);
  std::unique_ptr<ProgressStream> import(UniqueFd body, ImportRequest request);
  awaitable<std::unique_ptr<Download>> save(std::vector<std::string> names);
  awaitable<std::vector<api::ImageSummary>> list_images(ImageListOptions options);
  awaitable<api::ImageInspect> inspect_image(std::string name, int api_minor);
  awaitable<std::vector<api::HistoryItem>> image_history(std::string name);
  awaitable<void> tag_image(std::string name, std::string repository, std::string tag);
  awaitable<std::vector<api::DeleteItem>> remove_image(std::string name, bool force, bool no_prune);

  awaitable<api::ImagesPruneReport> prune_images(Filters filters);

  // Networks
  awaitable<std::vector<api::NetworkInspect>> list_networks(Filters filters);
  awaitable<api::NetworkInspect> inspect_network(std::string name);
  /// The built-in networks stay: there are no others yet.
  api::NetworksPruneReport prune_networks(const Filters& filters);

  // Volumes
  awaitable<api::Volume> create_volume(api::VolumeCreateRequest request);
  awaitable<api::VolumeList> list_volumes(Filters filters);
  awaitable<api::Volume> inspect_volume(std::string name);
  awaitable<void> remove_volume(std::string name, bool force);
  /// `all_since_142`: without the filter `all` only anonymous volumes go.
  awaitable<api::VolumesPruneReport> prune_volumes(Filters filters, int api_minor);

  // System
  /// POST /auth: throws unauthorized when the registry refuses the credentials.
  awaitable<void> check_login(api::AuthConfig auth);
  awaitable<api::Info> info();
  /// Sums of numbers that are kept when they change; its cost does not depend on how many files there are.
  awaitable<api::DiskUsage> disk_usage(DiskUsageOptions options);
  /// There is no build cache: says so in an event, as `system prune` asks for it.
  void note_build_cache_pruned();
  /// Why a container ended, did not start or is unhealthy, in plain words. Looks at the container, the host's sockets
  /// and the last lines of the log; changes nothing.
  awaitable<api::Explanation> explain(std::string id);
  /// SIGHUP: takes over what can change while the engine runs (see Options) and publishes daemon `reload`.
  void reload(const Options& fresh);
  api::Version version() const;
  std::unique_ptr<EventStream> events(EventOptions options);
  /// Prometheus text (exposition format 0.0.4).
  std::string metrics() const;
  const TraceBook& traces() const;
  /// Where the server notes each request.
  RequestBook& requests();

 private:
  std::unique_ptr<EngineState> state_;
};

}  // namespace mydocker::engine
