#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "engine/base/sys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"

/// GET /metrics: the engine in Prometheus' text form (exposition format 0.0.4). Names that dockerd has as well are
/// spelled as dockerd spells them; the others begin with mydocker_ or, for the process, with process_.
namespace mydocker::engine {
namespace {

/// Writes families: their head once, then their samples.
class MetricsText {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    text_ += concat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }
  /// `labels` as `a="b",c="d"`, values escaped by label().
  void sample(std::string_view name, std::string_view labels, double value) {
    char number[40];
    std::snprintf(number, sizeof number, "%.15g", value);
    text_ += name;
    if (!labels.empty()) text_ += concat("{", labels, "}");
    text_ += concat(" ", std::string_view(number), "\n");
  }
  void single(std::string_view name, std::string_view type, std::string_view help, double value) {
    family(name, type, help);
    sample(name, "", value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string label(std::string_view name, std::string_view value) {
  std::string out = concat(name, "=\"");
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

double seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }
double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void append_engine(MetricsText& out, const EngineState& state) {
  out.family("engine_daemon_engine_info", "gauge", "What this engine is; the value is always 1.");
  out.sample(
      "engine_daemon_engine_info",
      concat(label("version", api::server_version), ",", label("kernel", state.facts.kernel_version), ",",
             label("os", state.facts.operating_system), ",", label("daemon_id", state.engine_id), ",",
             label("graphdriver", "overlay2"), ",", label("commit", "unknown"), ",", label("architecture", "x86_64")),
      1);
  out.single("engine_daemon_engine_cpus_cpus", "gauge", "Processors of the host.",
             static_cast<double>(state.facts.cpu_count));
  out.single("engine_daemon_engine_memory_bytes", "gauge", "Memory of the host in bytes.",
             static_cast<double>(state.facts.memory_bytes));
  out.single("engine_daemon_events_total", "counter", "Events published since the start.",
             static_cast<double>(state.events.published_count()));
  out.single("engine_daemon_events_subscribers_total", "gauge", "Clients that listen to events.",
             static_cast<double>(state.events.listener_count()));
  out.single("mydocker_uptime_seconds", "gauge", "Seconds since the start of the engine.",
             seconds(std::chrono::steady_clock::now() - state.began));
}

void append_containers(MetricsText& out, const EngineState& state) {
  std::map<std::string, int> exact = {{"created", 0}, {"exited", 0}, {"paused", 0}, {"running", 0}, {"restarting", 0}};
  std::map<std::string, int> dockers = {{"running", 0}, {"paused", 0}, {"stopped", 0}};
  double restarts = 0;
  int execs = 0;
  for (const ContainerPtr& container : state.containers.list()) {
    ++exact[std::string(to_string(container->state))];
    const bool paused = container->state == ContainerState::paused;
    ++dockers[paused ? "paused" : derive_flags(container->state).running ? "running" : "stopped"];
    restarts += static_cast<double>(container->record.restart_count);
    for (const auto& [id, exec] : container->execs) execs += exec->running ? 1 : 0;
  }
  out.family("engine_daemon_container_states_containers", "gauge", "Containers by dockerd's three states.");
  for (const auto& [name, count] : dockers) {
    out.sample("engine_daemon_container_states_containers", label("state", name), count);
  }
  out.family("mydocker_containers", "gauge", "Containers by state.");
  for (const auto& [name, count] : exact) out.sample("mydocker_containers", label("state", name), count);
  out.single("mydocker_container_restarts", "gauge", "Automatic restarts of the containers that are there.", restarts);
  out.single("mydocker_execs_running", "gauge", "Exec sessions that run.", execs);
}

void append_phases(MetricsText& out, const TraceBook& traces) {
  out.family("mydocker_phase_seconds", "summary",
             "Time spent in each phase of an operation; phase=total is all of it.");
  for (const auto& [key, sum] : traces.sums()) {
    const std::string labels =
        concat(label("operation", key.first), ",", label("phase", key.second.empty() ? "total" : key.second));
    out.sample("mydocker_phase_seconds_sum", labels, seconds(sum.total));
    out.sample("mydocker_phase_seconds_count", labels, static_cast<double>(sum.count));
  }
}

void append_requests(MetricsText& out, const RequestBook& requests) {
  const auto route_labels = [](const RequestBook::Route& route) {
    return concat(label("method", route.method), ",", label("route", route.pattern));
  };
  out.family("mydocker_http_requests_total", "counter", "Requests answered, by route and status.");
  for (const auto& [route, sum] : requests.sums()) {
    for (const auto& [code, count] : sum.codes) {
      out.sample("mydocker_http_requests_total", concat(route_labels(route), ",", label("code", std::to_string(code))),
                 static_cast<double>(count));
    }
  }
  out.family("mydocker_http_request_seconds", "histogram", "How long requests took, streams until their end.");
  for (const auto& [route, sum] : requests.sums()) {
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < sum.buckets.size(); ++i) {
      below += sum.buckets[i];
      char bound[32] = "+Inf";
      if (i < RequestBook::bounds.size()) std::snprintf(bound, sizeof bound, "%g", RequestBook::bounds[i]);
      out.sample("mydocker_http_request_seconds_bucket", concat(route_labels(route), ",", label("le", bound)),
                 static_cast<double>(below));
    }
    out.sample("mydocker_http_request_seconds_sum", route_labels(route), seconds(sum.total));
    out.sample("mydocker_http_request_seconds_count", route_labels(route), static_cast<double>(sum.count));
  }
}

void append_process(MetricsText& out) {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  out.single("process_cpu_seconds_total", "counter", "Processor time of the engine's process.",
             seconds(usage.ru_utime) + seconds(usage.ru_stime));
  long resident_pages = 0;
  if (const std::optional<std::string> statm = find_file_at(AT_FDCWD, "/proc/self/statm")) {
    std::sscanf(statm->c_str(), "%*s %ld", &resident_pages);
  }
  out.single("process_resident_memory_bytes", "gauge", "Resident memory of the engine's process.",
             static_cast<double>(resident_pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  out.single("process_open_fds", "gauge", "Descriptors that the engine's process holds.",
             error ? 0 : static_cast<double>(std::distance(begin(files), end(files))));
}

}  // namespace

std::string Engine::metrics() const {
  MetricsText out;
  append_engine(out, *state_);
  append_containers(out, *state_);
  append_phases(out, state_->traces);
  append_requests(out, state_->requests);
  append_process(out);
  return out.take();
}

}  // namespace mydocker::engine
