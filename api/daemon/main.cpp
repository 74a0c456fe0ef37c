// mydockerd: makes the objects and connects them. Crash-only: a start is a recovery, an end needs no cleaning up
// (DESIGN 3.2).
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <cstdlib>

#include "api/daemon/config.h"
#include "api/daemon/instance_lock.h"
#include "api/daemon/memory.h"
#include "api/daemon/service_manager.h"
#include "api/server/routes/routes.h"
#include "api/server/server.h"
#include "api/server/tls_gate.h"
#include "api/types/system.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/engine.h"

namespace mydocker::daemon {
namespace {

namespace asio = boost::asio;

/// How long answers still under way get after the engine's verbs have ended.
constexpr std::chrono::milliseconds last_answers{1000};
constexpr std::chrono::seconds heap_trim_interval{60};
/// Whoever reaches the port of the metrics may use it: a few collectors, not the descriptors of the engine.
constexpr api::ApiLimits metrics_limits{.json_body_bytes = 4096, .connections = 64, .connections_per_user = 64};

/// As many descriptors as the kernel lets us have: each container holds some (its own limits are set explicitly).
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void prepare_process() {
  // Whatever our starter left open must not reach a shim; sockets of a service manager are taken by number.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  ::setlocale(LC_CTYPE, "C.UTF-8");  // names in archives
  ::umask(0022);
  ::signal(SIGPIPE, SIG_IGN);
  limit_allocator();
  raise_descriptor_limit();
}

std::string program_directory() {
  std::string path(4096, '\0');
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) throw sys_error("readlink /proc/self/exe");
  path.resize(static_cast<std::size_t>(size));
  return path.substr(0, path.rfind('/'));
}

void find_companions(engine::Options& options) {
  options.programs_dir = program_directory();
  const std::string image = options.programs_dir + "/../share/mydocker/busybox-bundled.tar";
  if (path_exists(image)) options.bundled_image = image;
}

/// HTTPS_PROXY and its like, in either case, as other engines read them; they hold for pulls.
void find_proxies(engine::Options& options) {
  const auto find = [](const char* upper, const char* lower) {
    const char* value = ::getenv(upper);
    if (value == nullptr) value = ::getenv(lower);
    return std::string(value == nullptr ? "" : value);
  };
  options.http_proxy = find("HTTP_PROXY", "http_proxy");
  options.https_proxy = find("HTTPS_PROXY", "https_proxy");
  options.no_proxy = find("NO_PROXY", "no_proxy");
}

gid_t find_group(const Config& config) {
  if (const group* entry = ::getgrnam(config.group.c_str())) return entry->gr_gid;
  if (config.group_was_set) {
    throw Error(ErrorKind::invalid_argument, concat("--group: there is no group \"", config.group, "\""));
  }
  return 0;
}

void make_private_dir(const std::string& path, mode_t mode) {
  make_dirs(path, mode);
  if (::chmod(path.c_str(), mode) != 0) throw sys_error("chmod ", path);
}

/// What the engine listens on.
struct Listening {
  std::vector<UniqueFd> local;   ///< Unix sockets
  std::vector<UniqueFd> remote;  ///< TCP: behind TLS
  UniqueFd metrics;              ///< TCP: GET /metrics alone; empty without --metrics-addr
};

/// A service manager may hand over sockets of either kind.
void sort_activated(std::string_view which, const Config& config, Listening& sockets) {
  for (UniqueFd& socket : take_activated_sockets(which)) {
    int family = AF_UNIX;
    socklen_t size = sizeof family;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) throw sys_error("activated socket");
    if (family != AF_UNIX && !config.tls_verify) {
      throw Error(ErrorKind::invalid_argument, "an activated socket is TCP: that needs --tlsverify");
    }
    (family == AF_UNIX ? sockets.local : sockets.remote).push_back(std::move(socket));
  }
}

Listening open_sockets(const Config& config) {
  Listening sockets;
  const gid_t group = find_group(config);
  for (const std::string& host : config.hosts) {
    const std::string address = host.substr(host.find("://") + 3);
    if (host.starts_with("fd://")) {
      sort_activated(address, config, sockets);
    } else if (host.starts_with("tcp://")) {
      sockets.remote.push_back(api::listen_on_tcp(address));
    } else {
      sockets.local.push_back(api::listen_on_unix(address, group));
    }
  }
  if (!config.metrics_address.empty()) sockets.metrics = api::listen_on_tcp(config.metrics_address);
  return sockets;
}

void remove_sockets(const Config& config) {
  for (const std::string& host : config.hosts) {
    if (host.starts_with("unix://")) ::unlink(host.substr(7).c_str());
  }
}

/// The objects of the running program, in the order in which they need each other.
struct Program {
  Program(const Config& given, std::vector<std::string> command_line, Listening listening)
      : config(given),
        arguments(std::move(command_line)),
        sockets(std::move(listening)),
        engine(io.get_executor(), config.engine),
        server(io.get_executor(), api::make_router(engine)),
        metrics(io.get_executor(), api::make_metrics_router(engine), metrics_limits),
        end_signals(io, SIGTERM, SIGINT),
        reload_signals(io, SIGHUP) {}

  asio::io_context io{1};
  Config config;  ///< a reload replaces it
  const std::vector<std::string> arguments;
  Listening sockets;
  engine::Engine engine;
  api::Server server;
  api::Server metrics;
  asio::signal_set end_signals;
  asio::signal_set reload_signals;
  std::unique_ptr<api::TlsGate> tls;
  int exit_code = 0;
};

/// Flags and daemon.json are read again as at a start. What is wrong with them leaves everything as it was.
void reload(Program& program) {
  try {
    Config fresh = parse_config(program.arguments);
    find_companions(fresh.engine);
    if (program.tls) program.tls->reload();
    for (const std::string& key : find_fixed_changes(program.config, fresh)) {
      log::warn("a changed setting takes effect at the next start", {{"key", key}});
    }
    log::set_level(fresh.log_level);
    program.engine.reload(fresh.engine);
    // Settings that a reload does not take over stay those of the start, and differ from the file until the next one.
    program.config.engine.shutdown_timeout_seconds = fresh.engine.shutdown_timeout_seconds;
    log::info("configuration reloaded", {{"file", program.config.config_file}});
  } catch (const std::exception& error) {
    log::error("the configuration was not reloaded and stays as it was", {{"error", error.what()}});
  }
}

asio::awaitable<void> reload_at_hangups(Program& program) {
  for (;;) {
    co_await program.reload_signals.async_wait(asio::use_awaitable);
    reload(program);
  }
}

/// Remote clients come through the gate; what it hands over is served on the I/O thread.
void open_tls_gate(Program& program) {
  if (program.sockets.remote.empty()) return;
  const Config& config = program.config;
  const auto deliver = [&program](UniqueFd plain) {
    asio::post(program.io, [&program, plain = std::make_shared<UniqueFd>(std::move(plain))] {
      program.server.serve_remote(std::move(*plain));
    });
  };
  program.tls = std::make_unique<api::TlsGate>(
      api::TlsFiles{.ca = config.tls_ca, .certificate = config.tls_certificate, .key = config.tls_key}, deliver);
}

/// After a crowd of clients the heap is mostly free: the kernel gets it back within a minute.
asio::awaitable<void> trim_heap(Program& program) {
  asio::steady_timer timer(program.io);
  for (;;) {
    timer.expires_after(heap_trim_interval);
    co_await timer.async_wait(asio::use_awaitable);
    release_free_heap();
  }
}

asio::awaitable<void> serve(Program& program) {
  co_await program.engine.recover();
  for (UniqueFd& socket : program.sockets.local) program.server.listen(std::move(socket));
  for (UniqueFd& socket : program.sockets.remote) program.tls->listen(std::move(socket));
  for (const std::string& host : program.config.hosts) log::info("API listen on", {{"address", host}});
  if (program.sockets.metrics) {
    program.metrics.listen(std::move(program.sockets.metrics));
    log::info("metrics listen on", {{"address", program.config.metrics_address}});
  }
  notify_service_manager("READY=1");
  release_start_up_pages();
  co_await program.end_signals.async_wait(asio::use_awaitable);
  log::info("ending; containers run on");
  notify_service_manager("STOPPING=1");
  program.server.refuse_new();
  program.metrics.refuse_new();
  if (program.tls) program.tls->refuse_new();
  remove_sockets(program.config);
  co_await program.engine.shutdown();
  co_await program.server.stop(last_answers);
}

asio::awaitable<void> run_program(Program& program) {
  try {
    co_await serve(program);
  } catch (const std::exception& error) {
    log::error("the engine ends", {{"error", error.what()}});
    program.exit_code = 1;
  }
  program.io.stop();
}

/// A verb that hangs must not keep us: from the signal on, the process has this long.
void limit_shutdown(Program& program) {
  program.end_signals.async_wait([&](const boost::system::error_code& error, int) {
    if (!error && program.config.engine.shutdown_timeout_seconds > 0) {
      ::alarm(static_cast<unsigned>(program.config.engine.shutdown_timeout_seconds));
    }
  });
}

int run(const Config& config, const std::vector<std::string>& arguments) {
  prepare_process();
  if (::geteuid() != 0) throw Error(ErrorKind::forbidden, "mydockerd needs to be started with root privileges");
  log::set_level(config.log_level);
  make_private_dir(config.engine.data_root, 0710);
  make_private_dir(config.engine.exec_root, 0711);
  const InstanceLock data_lock(config.engine.data_root + "/engine.lock", "data-root " + config.engine.data_root);
  data_lock.write_pid();
  const InstanceLock exec_lock(config.engine.exec_root + "/engine.lock", "exec-root " + config.engine.exec_root);
  const InstanceLock pid_lock(config.pidfile, "pidfile " + config.pidfile);
  pid_lock.write_pid();
  Config complete = config;
  find_companions(complete.engine);
  find_proxies(complete.engine);

  // Bound first, so that clients wait for us from now on; served after the recovery.
  auto* program = new Program(complete, arguments, open_sockets(complete));
  open_tls_gate(*program);
  limit_shutdown(*program);
  engine::spawn(program->io.get_executor(), "signals", reload_at_hangups(*program));
  engine::spawn(program->io.get_executor(), "trim heap", trim_heap(*program));
  engine::spawn(program->io.get_executor(), "main", run_program(*program));
  program->io.run();
  ::unlink(config.pidfile.c_str());
  log::info("ended");
  // Nothing is left to save, and pool threads may still wait for a stuck shim: no destructors.
  ::_exit(program->exit_code);
}

int main_or_throw(const std::vector<std::string>& arguments) {
  const Config config = parse_config(arguments);
  if (config.show_help) {
    std::fputs(make_help().c_str(), stdout);
    return 0;
  }
  if (config.show_version) {
    std::printf("mydockerd version %s, API %s\n", std::string(api::server_version).c_str(),
                std::string(api::max_api_version).c_str());
    return 0;
  }
  if (config.validate) {
    std::fputs("configuration OK\n", stdout);
    return 0;
  }
  return run(config, arguments);
}

}  // namespace
}  // namespace mydocker::daemon

int main(int argc, char** argv) {
  try {
    return mydocker::daemon::main_or_throw(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mydockerd: %s\n", error.what());
    return 1;
  }
}
