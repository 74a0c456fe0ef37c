#include "runtime/shim_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds short_deadline(10'000);
constexpr milliseconds freeze_deadline(15'000);
constexpr milliseconds launch_deadline(120'000);
/// The number under which a spawned shim finds its first connection.
constexpr int first_connection_fd = 3;
constexpr int lowest_program_fd = 64;

std::string socket_path(const std::string& shim_dir) { return shim_dir + "/socket"; }

/// false: not ready before the deadline.
bool wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
    pollfd item{fd, events, 0};
    const int ready = ::poll(&item, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready > 0) return true;
    if (ready == 0 && left <= 0) return false;
    if (ready < 0 && errno != EINTR) throw sys_error("poll shim");
  }
}

[[noreturn]] void throw_silent(std::string_view shim_dir) {
  throw Error(ErrorKind::unavailable, concat("shim ", shim_dir, " does not answer"));
}

void send_before(int fd, const json::object& body, std::span<const int> fds, Clock::time_point deadline,
                 std::string_view shim_dir) {
  while (!send_shim_message(fd, body, fds)) {
    if (!wait_for(fd, POLLOUT, deadline)) throw_silent(shim_dir);
  }
}

ShimMessage receive_before(int fd, Clock::time_point deadline, std::string_view shim_dir) {
  ShimMessage message;
  for (;;) {
    switch (receive_shim_message(fd, message)) {
      case Received::message:
        return message;
      case Received::closed:
        throw Error(ErrorKind::unavailable, concat("shim ", shim_dir, " is gone"));
      case Received::would_block:
        if (!wait_for(fd, POLLIN, deadline)) throw_silent(shim_dir);
    }
  }
}

/// What the shim answers to a hello.
struct Hello {
  int version = 0;
  int pid = 0;

  static constexpr auto json_fields() { return std::tuple(field("hello", &Hello::version), field("pid", &Hello::pid)); }
};

/// The first exchange on a connection; gives the shim's pid.
int shake_hands(int fd, std::string_view role, std::string_view shim_dir) {
  const Clock::time_point deadline = Clock::now() + short_deadline;
  send_before(fd, {{"hello", shim_protocol_version}, {"role", json::string_view(role)}}, {}, deadline, shim_dir);
  const ShimMessage answer = receive_before(fd, deadline, shim_dir);
  if (const auto* error = answer.body.if_contains("error")) throw_error_object(*error);
  return from_json<Hello>(answer.body).pid;
}

json::object to_object(json::value value) { return std::move(value.get_object()); }

struct CreatedAnswer {
  int pid = 0;
  int shim_pid = 0;
  std::string netns_path;
  std::vector<ShimTiming> timings;

  static constexpr auto json_fields() {
    return std::tuple(field("pid", &CreatedAnswer::pid), field("shim_pid", &CreatedAnswer::shim_pid),
                      field("netns_path", &CreatedAnswer::netns_path), field("timings", &CreatedAnswer::timings));
  }
};

struct StartedAnswer {
  int pid = 0;
  std::int64_t started_at_ns = 0;
  std::vector<ShimTiming> timings;

  static constexpr auto json_fields() {
    return std::tuple(field("pid", &StartedAnswer::pid), field("started_at_ns", &StartedAnswer::started_at_ns),
                      field("timings", &StartedAnswer::timings));
  }
};

struct PidAnswer {
  int pid = 0;

  static constexpr auto json_fields() { return std::tuple(field("pid", &PidAnswer::pid)); }
};

struct HeldAnswer {
  std::int64_t offset = 0;

  static constexpr auto json_fields() { return std::tuple(field("offset", &HeldAnswer::offset)); }
};

struct DeliveredAnswer {
  bool delivered = false;

  static constexpr auto json_fields() { return std::tuple(field("delivered", &DeliveredAnswer::delivered)); }
};

}  // namespace

SealedProgram::SealedProgram(const std::string& path) {
  const UniqueFd memory = make_memfd("program", read_file(path));
  // A high number: the child looks the path up when its low ones are already those of the spawned program.
  fd_ = UniqueFd(::fcntl(memory.get(), F_DUPFD_CLOEXEC, lowest_program_fd));
  if (!fd_) throw sys_error("dup ", path);
  path_ = concat("/proc/self/fd/", fd_.get());
}

struct ShimClient::Connection {
  std::mutex mutex;  ///< guards all below
  std::string shim_dir;
  UniqueFd socket;
  mydocker::Process process;
  int shim_pid = 0;
  std::uint64_t next_id = 1;

  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (!process) return;
    const UniqueFd pidfd = process.release();
    siginfo_t unused{};
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &unused, WEXITED | WNOHANG);
  }
};

ShimClient::ShimClient() = default;
ShimClient::ShimClient(ShimClient&&) noexcept = default;
ShimClient& ShimClient::operator=(ShimClient&&) noexcept = default;
ShimClient::~ShimClient() = default;
ShimClient::ShimClient(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

ShimClient ShimClient::spawn(const std::string& program, const std::string& shim_dir,
                             std::vector<std::string> environment) {
  failpoint("shim.spawn");
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  // Not our stderr: a shim outlives us and would keep the pipe of whoever reads our log open.
  const UniqueFd log = open_file(shim_dir + "/shim.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  SpawnOptions options;
  options.program = program;
  options.arguments = {"mydocker-shim", shim_dir};
  options.environment = std::move(environment);
  options.fds = {{log.get(), 2}, {theirs.get(), first_connection_fd}};
  options.new_session = true;

  auto connection = std::make_unique<Connection>();
  connection->shim_dir = shim_dir;
  mydocker::Process process = mydocker::Process::spawn(options);  // a throw below ends it
  theirs.reset();
  connection->shim_pid = process.pid();
  connection->socket = std::move(ours);
  shake_hands(connection->socket.get(), "requests", shim_dir);
  connection->process = std::move(process);
  return ShimClient(std::move(connection));
}

ShimClient ShimClient::connect(const std::string& shim_dir) {
  auto connection = std::make_unique<Connection>();
  connection->shim_dir = shim_dir;
  connection->socket = connect_unix(socket_path(shim_dir), SOCK_SEQPACKET);
  connection->shim_pid = shake_hands(connection->socket.get(), "requests", shim_dir);
  return ShimClient(std::move(connection));
}

int ShimClient::shim_pid() const noexcept { return connection_->shim_pid; }

mydocker::Process ShimClient::take_process() {
  const std::lock_guard lock(connection_->mutex);
  return std::move(connection_->process);
}

ShimMessage ShimClient::call(std::string_view method, json::object params, milliseconds deadline,
                             std::vector<int> fds) {
  Connection& connection = *connection_;
  const std::lock_guard lock(connection.mutex);
  if (!connection.socket) throw_silent(connection.shim_dir);
  const Clock::time_point end = Clock::now() + deadline;
  const std::uint64_t id = connection.next_id++;
  ShimMessage answer;
  try {
    send_before(connection.socket.get(),
                {{"id", id}, {"method", json::string_view(method)}, {"params", std::move(params)}}, fds, end,
                connection.shim_dir);
    do {
      answer = receive_before(connection.socket.get(), end, connection.shim_dir);
    } while (!answer.body.contains("id") || from_json<std::uint64_t>(answer.body["id"]) != id);
  } catch (Error& error) {
    connection.socket.reset();  // a late answer must not be taken for that of another call
    error.add_context(method);
    throw;
  }
  if (const auto* error = answer.body.if_contains("error")) throw_error_object(*error);
  return answer;
}

ShimCreated ShimClient::create() {
  ShimMessage answer = call("create", {}, launch_deadline);
  auto created = from_json<CreatedAnswer>(answer.body["result"]);
  ShimCreated out;
  out.pid = created.pid;
  out.shim_pid = created.shim_pid;
  out.netns_path = std::move(created.netns_path);
  out.timings = std::move(created.timings);
  if (!answer.fds.empty()) out.netns = std::move(answer.fds.front());
  return out;
}

void ShimClient::hold(const std::vector<UniqueFd>& fds) {
  for (std::size_t begin = 0; begin < fds.size(); begin += max_packet_fds) {
    std::vector<int> numbers;
    for (std::size_t i = begin; i < std::min(fds.size(), begin + max_packet_fds); ++i) numbers.push_back(fds[i].get());
    call("hold", {}, launch_deadline, std::move(numbers));
  }
}

ShimStarted ShimClient::start() {
  ShimMessage answer = call("start", {}, launch_deadline);
  auto started = from_json<StartedAnswer>(answer.body["result"]);
  return {.pid = started.pid, .started_at_ns = started.started_at_ns, .timings = std::move(started.timings)};
}

void ShimClient::attach(const AttachRequest& request, int client) {
  call("attach", {{"streams", to_json(request)}}, launch_deadline, {client});
}

ShimHeld ShimClient::attach_held(const AttachRequest& request, int client, int gate) {
  ShimMessage answer = call("attach_held", {{"streams", to_json(request)}}, launch_deadline, {client, gate});
  if (answer.fds.empty()) throw Error(ErrorKind::internal, "attach_held: the shim sent no log");
  return {.log = std::move(answer.fds.front()),
          .log_offset_bytes = from_json<HeldAnswer>(answer.body["result"]).offset};
}

int ShimClient::exec(const ExecRequest& request, int client) {
  std::vector<int> fds;
  if (client >= 0) fds.push_back(client);
  ShimMessage answer = call("exec", to_object(to_json(request)), launch_deadline, std::move(fds));
  return from_json<PidAnswer>(answer.body["result"]).pid;
}

void ShimClient::resize(std::uint16_t height, std::uint16_t width) {
  call("resize", {{"height", height}, {"width", width}}, short_deadline);
}

void ShimClient::exec_resize(const std::string& exec_id, std::uint16_t height, std::uint16_t width) {
  call("exec_resize", {{"exec_id", exec_id}, {"height", height}, {"width", width}}, short_deadline);
}

bool ShimClient::kill(int signal) {
  ShimMessage answer = call("kill", {{"signal", signal}}, short_deadline);
  return from_json<DeliveredAnswer>(answer.body["result"]).delivered;
}

bool ShimClient::exec_kill(const std::string& exec_id, int signal) {
  ShimMessage answer = call("exec_kill", {{"exec_id", exec_id}, {"signal", signal}}, short_deadline);
  return from_json<DeliveredAnswer>(answer.body["result"]).delivered;
}

void ShimClient::pause() { call("pause", {}, freeze_deadline); }

void ShimClient::pause_briefly() { call("pause", {{"brief", true}}, freeze_deadline); }

void ShimClient::unpause() { call("unpause", {}, short_deadline); }

ShimSnapshot ShimClient::snapshot() {
  ShimMessage answer = call("snapshot", {}, short_deadline);
  return from_json<ShimSnapshot>(answer.body["result"]);
}

void ShimClient::abandon() {
  try {
    call("abandon", {}, launch_deadline);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable) throw;  // gone: it has torn down everything by itself
  }
}

UniqueFd ShimClient::open_events() {
  UniqueFd socket = connect_unix(socket_path(connection_->shim_dir), SOCK_SEQPACKET);
  shake_hands(socket.get(), "events", connection_->shim_dir);
  set_nonblocking(socket.get());
  return socket;
}

EventRead receive_shim_event(int fd, ShimEvent& out) {
  for (;;) {
    ShimMessage message;
    try {
      switch (receive_shim_message(fd, message)) {
        case Received::closed:
          return EventRead::closed;
        case Received::would_block:
          return EventRead::would_block;
        case Received::message:
          break;
      }
      out = from_json<ShimEvent>(json::value(std::move(message.body)));
      if (!out.type.empty()) return EventRead::event;
    } catch (const Error&) {  // a packet of a newer shim, or a damaged one: the next may be good
    }
  }
}

ShimEvent parse_shim_event(std::string_view packet) { return from_json<ShimEvent>(parse_json(packet)); }

bool ack_shim_event(int fd, std::uint64_t sequence) {
  try {
    return send_shim_message(fd, {{"ack", sequence}});
  } catch (const Error&) {
    return false;
  }
}

}  // namespace mydocker::runtime
