#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"
#include "runtime/bundle.h"
#include "runtime/filter_cache.h"
#include "runtime/shim/monitor.h"
#include "runtime/systemd.h"

/// What engines ask of a container's shim: one member function a method, named as on the wire.
namespace mydocker::shim {
namespace {

using runtime::ShimConfig;
using runtime::ShimTiming;
using std::chrono::milliseconds;

constexpr std::size_t max_execs = 256;
/// Late enough to be off every start's path, early enough to be there before the engine is restarted.
constexpr milliseconds leave_cgroup_delay(500);

std::vector<ShimTiming> make_timings(const Trace& trace) {
  std::vector<ShimTiming> out;
  for (const Trace::Phase& phase : trace.phases()) {
    out.push_back({.phase = phase.name, .nanoseconds = phase.duration.count()});
  }
  return out;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

ShimConfig read_config(const std::string& path) { return from_json<ShimConfig>(parse_json(read_file(path)), path); }

runtime::TaskOptions make_task_options(const ShimConfig& config, const std::string& bundle) {
  runtime::TaskOptions options;
  options.id = config.id;
  options.spec = runtime::read_bundle(bundle);
  options.bundle = bundle;
  options.overlay = config.rootfs;
  options.user = config.user;
  options.group_add = config.group_add;
  options.resolve_home = config.resolve_home;
  options.default_seccomp = config.default_seccomp;
  options.requested_rlimits = config.requested_rlimits;
  return options;
}

/// The parameters that are numbers or names.
struct PlainParameters {
  std::string exec_id;
  int signal = 0;
  std::uint16_t height = 0;
  std::uint16_t width = 0;
  bool brief = false;

  static constexpr auto json_fields() {
    return std::tuple(field("exec_id", &PlainParameters::exec_id), field("signal", &PlainParameters::signal),
                      field("height", &PlainParameters::height), field("width", &PlainParameters::width),
                      field("brief", &PlainParameters::brief));
  }
};

PlainParameters read_plain(json::object& params) {
  return from_json<PlainParameters>(json::value(std::move(params)), "params");
}

}  // namespace

EngineServer::Answer Monitor::on_request(std::string_view method, json::object& params, std::vector<UniqueFd>& fds) {
  struct Row {
    std::string_view method;
    Answer (Monitor::*function)(json::object&, std::vector<UniqueFd>&);
  };
  static constexpr std::array<Row, 14> rows{{
      {"create", &Monitor::create},
      {"start", &Monitor::start},
      {"attach", &Monitor::attach},
      {"attach_held", &Monitor::attach_held},
      {"exec", &Monitor::exec},
      {"resize", &Monitor::resize},
      {"exec_resize", &Monitor::exec_resize},
      {"kill", &Monitor::kill},
      {"exec_kill", &Monitor::exec_kill},
      {"hold", &Monitor::hold},
      {"pause", &Monitor::pause},
      {"unpause", &Monitor::unpause},
      {"snapshot", &Monitor::snapshot},
      {"abandon", &Monitor::abandon},
  }};
  loop_.give_back_memory_later();
  for (const Row& row : rows) {
    if (row.method == method) return (this->*row.function)(params, fds);
  }
  throw Error(ErrorKind::not_implemented, concat("this shim knows no ", method));
}

EngineServer::Answer Monitor::create(json::object&, std::vector<UniqueFd>&) {
  if (state_ != State::fresh) throw Error(ErrorKind::conflict, "the container was created already");
  failpoint("shim.create");
  Trace trace("create");
  const std::string bundle = shim_dir_ + "/bundle";
  config_ = read_config(bundle + "/shim.json");
  runtime::TaskOptions options = make_task_options(config_, bundle);
  const runtime::Namespace* pid_namespace = runtime::find_namespace(options.spec, "pid");
  own_pid_namespace_ = pid_namespace != nullptr && pid_namespace->path.empty();
  if (!config_.default_seccomp) seccomp_ = options.spec.linux.seccomp;
  backlog_directory_ = parent_of(config_.exit_file);
  trace.mark("shim.read");
  try {
    if (config_.rootfs && !config_.rootfs->work.empty()) remove_tree(config_.rootfs->work + "/work/incompat");
    log_ = open_log(loop_, config_.log, [this] {
      if (hub_) hub_->on_log_room();
    });
    task_ = config_.foreign_runtime ? make_foreign_task(*config_.foreign_runtime, shim_dir_) : make_own_task();
    const std::string cgroups_path = options.spec.linux.cgroups_path;
    if (!config_.foreign_runtime) options.filter = find_filter(options.spec.process, options.spec.linux.seccomp);
    make_cgroup(options);
    trace.mark("shim.cgroup");
    open_streams(std::move(options));
    if (!cgroups_path.empty() && task_->finds_cgroup()) {
      if (cgroup_)
        cgroup_->keep_where(task_->pid());
      else
        cgroup_ = runtime::Cgroup::open(cgroups_path);
      watch_oom();
    }
  } catch (...) {
    tear_down();
    end_after_answer();
    throw;
  }
  trace.mark("shim.clone");
  state_ = State::created;
  try {
    netns_ = task_->netns();
  } catch (const Error& error) {  // dead already: wait_created knows why, and start will say it
    log::debug("network namespace", {{"error", error.message()}});
  }
  loop_.defer([this] { finish_create(); });

  json::object result{{"pid", task_->pid()}, {"shim_pid", ::getpid()}, {"timings", to_json(make_timings(trace))}};
  if (netns_) result["netns_path"] = make_snapshot().netns_path;
  return {.result = std::move(result), .fd = netns_.get()};
}

/// Also for a task that finds it: so the parents bear our mark, and stand while the runtime comes to them. Of a scope
/// systemd makes them.
void Monitor::make_cgroup(runtime::TaskOptions& options) {
  const std::string& path = options.spec.linux.cgroups_path;
  if (path.empty() || (task_->finds_cgroup() && runtime::parse_scope_name(path))) return;
  cgroup_ = runtime::Cgroup::create(path);
  if (task_->finds_cgroup()) return;
  options.cgroup = &*cgroup_;
  watch_oom();
}

/// Makes the streams and, with their other ends, the task.
void Monitor::open_streams(runtime::TaskOptions options) {
  HubOptions hub;
  hub.tty = config_.tty;
  hub.open_stdin = config_.open_stdin;
  hub.stdin_once = config_.stdin_once;
  hub.backlog_directory = backlog_directory_;
  hub_ = std::make_unique<StreamHub>(loop_, std::move(hub), static_cast<StreamHub::Listener&>(*this), &*log_);
  options.spec.process.terminal = config_.tty;
  if (config_.tty) {
    if (config_.console_height != 0 || config_.console_width != 0) {
      options.spec.process.console_size = {.height = config_.console_height, .width = config_.console_width};
    }
    task_->create(std::move(options));
    return;
  }
  Pipe in;
  if (config_.open_stdin) in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  options.stdio = {.in = in.read.get(), .out = out.write.get(), .err = err.write.get()};
  task_->create(std::move(options));
  hub_->open_pipes(std::move(in.write), std::move(out.read), std::move(err.read));
}

/// The second half of `create`, after its answer: the engine fills the netns meanwhile.
void Monitor::finish_create() {
  if (state_ != State::created) return;
  try {
    task_->wait_created();
    failpoint("shim.created");
    rootfs_ = open_file(concat("/proc/", task_->pid(), "/root"), O_PATH | O_DIRECTORY);
    if (config_.tty) hub_->open_terminal(task_->take_console());
  } catch (...) {  // thrown again by `start`
    create_error_ = std::current_exception();
    tear_down();
  }
}

EngineServer::Answer Monitor::start(json::object&, std::vector<UniqueFd>&) {
  if (create_error_) {
    end_after_answer();
    std::rethrow_exception(create_error_);
  }
  if (state_ != State::created) throw Error(ErrorKind::conflict, "the container is not created or was started");
  try {
    failpoint("shim.start");
    task_->start();
  } catch (...) {
    tear_down();
    end_after_answer();
    throw;
  }
  state_ = State::running;
  started_at_ns_ = to_unix_nanoseconds(now());
  loop_.after(leave_cgroup_delay, [this] { leave_engine_cgroup(); });
  start_health_check();
  return {.result = {{"pid", task_->pid()},
                     {"started_at_ns", started_at_ns_},
                     {"timings", to_json(make_timings(task_->trace()))}}};
}

EngineServer::Answer Monitor::attach(json::object& params, std::vector<UniqueFd>& fds) {
  if (create_error_) std::rethrow_exception(create_error_);
  if (state_ == State::fresh || state_ == State::exited) throw Error(ErrorKind::conflict, "the container has ended");
  if (fds.size() != 1) throw Error(ErrorKind::invalid_argument, "attach needs one client");
  if (!params.contains("streams")) throw Error(ErrorKind::invalid_argument, "attach needs streams");
  hub_->attach(from_json<runtime::StreamChoice>(params["streams"], "streams"), std::move(fds.front()));
  return {};
}

/// Also of a container that has ended and still has output to deliver.
EngineServer::Answer Monitor::attach_held(json::object& params, std::vector<UniqueFd>& fds) {
  if (create_error_) std::rethrow_exception(create_error_);
  if (!hub_) throw Error(ErrorKind::conflict, "the container is not created");
  if (fds.size() != 2) throw Error(ErrorKind::invalid_argument, "attach_held needs a client and a gate");
  if (!params.contains("streams")) throw Error(ErrorKind::invalid_argument, "attach_held needs streams");
  auto streams = from_json<runtime::StreamChoice>(params["streams"], "streams");
  const LogPosition position = hub_->attach_held(std::move(streams), std::move(fds[0]), std::move(fds[1]));
  return {.result = {{"offset", position.offset_bytes}}, .fd = position.file};
}

/// The compiled filter of a process, from those that are kept. nullopt: none is wanted, or it cannot be compiled, which
/// the process itself will tell when it tries again.
std::optional<runtime::FilterProgram> Monitor::find_filter(const runtime::Process& process,
                                                           const std::optional<runtime::Seccomp>& custom) const {
  if (config_.filter_directory.empty()) return std::nullopt;
  try {
    if (config_.default_seccomp) {
      const runtime::CapabilityMask bounding = runtime::parse_capabilities(process.capabilities).bounding;
      return runtime::load_or_compile(runtime::make_default_seccomp(bounding), config_.filter_directory);
    }
    if (custom) return runtime::load_or_compile(*custom, config_.filter_directory);
  } catch (const Error& error) {
    log::debug("no kept filter", {{"container", config_.id}, {"error", error.message()}});
  }
  return std::nullopt;
}

/// All but stdio and terminal of one more process in the container.
runtime::ExecOptions Monitor::make_exec_options(const json::value& process, const std::string& user,
                                                const std::vector<std::string>& group_add) {
  runtime::ExecOptions options;
  options.init_pidfd = task_->pidfd();
  options.init_pid = task_->pid();
  options.process = from_json<runtime::Process>(process, "process");
  options.seccomp = seccomp_;
  options.default_seccomp = config_.default_seccomp;
  if (!config_.foreign_runtime) options.filter = find_filter(options.process, seccomp_);
  options.cgroup = cgroup_ ? &*cgroup_ : nullptr;
  options.user = user;
  options.group_add = group_add;
  options.resolve_home = true;
  options.requested_rlimits = config_.requested_rlimits;
  return options;
}

void Monitor::start_health_check() {
  if (!config_.health) return;
  try {
    health_ =
        std::make_unique<HealthCheck>(loop_, static_cast<HealthCheck::Listener&>(*this), *config_.health,
                                      make_exec_options(config_.health->process, config_.user, config_.group_add));
    health_->start(started_at_ns_);
  } catch (const Error& error) {
    log::error("no health check", {{"container", config_.id}, {"error", error.message()}});
  }
}

EngineServer::Answer Monitor::exec(json::object& params, std::vector<UniqueFd>& fds) {
  require_running();
  // A process that joins a frozen cgroup never says that it runs, and this thread would wait for it.
  if (cgroup_ && cgroup_->frozen()) throw Error(ErrorKind::conflict, "the container is paused, unpause it before exec");
  if (execs_.size() >= max_execs) throw Error(ErrorKind::conflict, "too many exec sessions in this container");
  failpoint("shim.exec");
  const auto request = from_json<runtime::ExecRequest>(json::value(std::move(params)), "exec");
  if (execs_.contains(request.exec_id)) throw Error(ErrorKind::conflict, "this exec was started already");
  runtime::ExecOptions options = make_exec_options(request.process, request.user, request.group_add);
  options.process.terminal = request.tty;
  if (request.tty && (request.console_height != 0 || request.console_width != 0)) {
    options.process.console_size = {.height = request.console_height, .width = request.console_width};
  }
  UniqueFd client = fds.empty() ? UniqueFd() : std::move(fds.front());
  auto session = std::make_unique<ExecSession>(loop_, static_cast<ExecSession::Listener&>(*this), *task_, request,
                                               std::move(options), std::move(client), backlog_directory_);
  const pid_t pid = session->pid();
  execs_.emplace(request.exec_id, std::move(session));
  return {.result = {{"pid", pid}}};
}

EngineServer::Answer Monitor::resize(json::object& params, std::vector<UniqueFd>&) {
  const PlainParameters size = read_plain(params);
  if (!hub_) throw Error(ErrorKind::conflict, "the container is not created");
  hub_->resize(size.height, size.width);
  return {};
}

EngineServer::Answer Monitor::exec_resize(json::object& params, std::vector<UniqueFd>&) {
  const PlainParameters size = read_plain(params);
  get_exec(size.exec_id).resize(size.height, size.width);
  return {};
}

EngineServer::Answer Monitor::kill(json::object& params, std::vector<UniqueFd>&) {
  const PlainParameters wanted = read_plain(params);
  const bool alive = state_ == State::running || (state_ == State::created && task_->pidfd() >= 0);
  const bool delivered = alive && task_->kill(wanted.signal);
  if (delivered && wanted.signal > 0 && wanted.signal < 64) client_signals_ |= std::uint64_t{1} << wanted.signal;
  return {.result = {{"delivered", delivered}}};
}

EngineServer::Answer Monitor::exec_kill(json::object& params, std::vector<UniqueFd>&) {
  const PlainParameters wanted = read_plain(params);
  return {.result = {{"delivered", get_exec(wanted.exec_id).kill(wanted.signal)}}};
}

EngineServer::Answer Monitor::hold(json::object&, std::vector<UniqueFd>& fds) {
  if (create_error_) std::rethrow_exception(create_error_);
  for (UniqueFd& fd : fds) held_.push_back(std::move(fd));
  return {};
}

EngineServer::Answer Monitor::pause(json::object& params, std::vector<UniqueFd>&) {
  const bool brief = read_plain(params).brief;
  require_running();
  if (!cgroup_) throw Error(ErrorKind::not_implemented, "the container has no cgroup to freeze");
  cgroup_->freeze();
  if (health_) brief ? health_->suspend() : health_->stop();
  return {};
}

EngineServer::Answer Monitor::unpause(json::object&, std::vector<UniqueFd>&) {
  require_running();
  if (!cgroup_) throw Error(ErrorKind::not_implemented, "the container has no cgroup to freeze");
  cgroup_->thaw();
  if (health_) health_->resume();
  return {};
}

EngineServer::Answer Monitor::snapshot(json::object&, std::vector<UniqueFd>&) {
  return {.result = std::move(to_json(make_snapshot()).get_object())};
}

EngineServer::Answer Monitor::abandon(json::object&, std::vector<UniqueFd>&) {
  if (state_ == State::running || state_ == State::exited) {
    throw Error(ErrorKind::conflict, "the container was started already");
  }
  tear_down();
  end_after_answer();
  return {};
}

void Monitor::require_running() const {
  if (state_ != State::running) throw Error(ErrorKind::conflict, concat("container ", config_.id, " is not running"));
}

ExecSession& Monitor::get_exec(const std::string& exec_id) {
  const auto found = execs_.find(exec_id);
  if (found == execs_.end()) throw Error(ErrorKind::not_found, concat("No such exec instance: ", exec_id));
  return *found->second;
}

}  // namespace mydocker::shim
