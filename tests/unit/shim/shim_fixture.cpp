#include "tests/unit/shim/shim_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "engine/base/sys.h"
#include "engine/log_reader.h"
#include "runtime/cgroup.h"
#include "tests/support/patience.h"
#include "tests/support/requirements.h"

namespace mydocker::test {
namespace {

using std::chrono::milliseconds;

const milliseconds patience = patient(milliseconds(20'000));

void write_text(const std::string& path, const std::string& text) {
  const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  write_all(fd.get(), text);
}

}  // namespace

void ShimTest::SetUp() {
  REQUIRE_ROOT();
  REQUIRE_NAMESPACES();
  const std::string busybox = "/bin/busybox";
  if (!path_exists(busybox)) GTEST_SKIP() << "needs a static busybox";
  for (const char* directory : {"lower/bin", "lower/etc", "lower/proc", "lower/sys", "lower/dev", "lower/tmp", "upper",
                                "work", "shim/bundle", "data"}) {
    make_dirs(tree.path(directory));
  }
  ::chmod(tree.path("lower/tmp").c_str(), 01777);
  std::filesystem::copy_file(busybox, tree.path("lower/bin/busybox"));
  for (const char* applet : {"sh",  "cat",      "echo", "sleep", "seq", "id", "stty", "true", "false", "dd", "head",
                             "tty", "hostname", "ps",   "kill",  "yes", "wc", "ls",   "tail", "env",   "pwd"}) {
    std::filesystem::create_symlink("busybox", tree.path(concat("lower/bin/", applet)));
  }
  tree.write("lower/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
  tree.write("lower/etc/group", "root:x:0:\nnogroup:x:65534:\n");

  shim_dir = tree.path("shim");
  cgroup_parent = concat("/mydocker-shim-test-", ::getpid());
  config.id = random_hex(32);
  config.rootfs = OverlayMount{.lower = {tree.path("lower")}, .upper = tree.path("upper"), .work = tree.path("work")};
  config.default_seccomp = true;
  config.log.path = tree.path("data/container-json.log");
  config.exit_file = tree.path("data/exit");
  spec = runtime::make_example_spec();
  spec.process.terminal = false;
  spec.process.cwd = "/";
  spec.root.readonly = false;
  spec.linux.cgroups_path = concat(cgroup_parent, '/', config.id);
}

void ShimTest::TearDown() {
  if (IsSkipped()) return;
  if (shim) {
    try {
      shim.kill(SIGKILL);
      wait_shim_end();
    } catch (const Error&) {  // gone already
    }
  }
  shim = {};
  try {
    runtime::Cgroup::open(cgroup_parent).remove();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) ADD_FAILURE() << error.what();
  }
}

void ShimTest::spawn() {
  write_text(shim_dir + "/bundle/config.json", write_json(to_json(spec)));
  write_text(shim_dir + "/bundle/shim.json", write_json(to_json(config)));
  const runtime::SealedProgram program(MYDOCKER_SHIM_PROGRAM);
  shim = runtime::ShimClient::spawn(program.path(), shim_dir, {});
  events = shim.open_events();
}

void ShimTest::run() {
  spawn();
  shim.create();
  shim.start();
}

UniqueFd ShimTest::attach(runtime::AttachRequest request) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  shim.attach(request, theirs.get());
  return std::move(ours);
}

runtime::ExecRequest ShimTest::make_exec(const std::string& id, const std::string& script) const {
  runtime::Process process = spec.process;
  process.args = {"/bin/sh", "-c", script};
  runtime::ExecRequest request;
  request.exec_id = id;
  request.process = to_json(process);
  return request;
}

UniqueFd ShimTest::exec(const runtime::ExecRequest& request, int* pid) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const int started = shim.exec(request, theirs.get());
  if (pid != nullptr) *pid = started;
  return std::move(ours);
}

runtime::ShimEvent ShimTest::wait_event(const std::string& type) {
  for (;;) {
    runtime::ShimEvent event;
    switch (runtime::receive_shim_event(events.get(), event)) {
      case runtime::EventRead::event:
        if (event.sequence != 0) runtime::ack_shim_event(events.get(), event.sequence);
        if (event.type == type) return event;
        break;
      case runtime::EventRead::closed:
        throw Error(ErrorKind::internal, "the events ended before " + type);
      case runtime::EventRead::would_block:
        if (!wait_readable(events.get(), static_cast<int>(patience.count()))) {
          throw Error(ErrorKind::internal, "no event " + type);
        }
    }
  }
}

runtime::ExitRecord ShimTest::wait_exit() {
  const runtime::ShimEvent event = wait_event("exit");
  wait_event("finished");
  return event.exit.value();
}

void ShimTest::wait_shim_end() {
  Process process = shim.take_process();
  if (!process) return;
  if (!wait_readable(process.pidfd(), static_cast<int>(patience.count()))) ADD_FAILURE() << "the shim does not end";
}

std::string ShimTest::read_to_end(int fd) {
  std::string out;
  char buffer[65536];
  for (;;) {
    if (!wait_readable(fd, static_cast<int>(patience.count()))) throw Error(ErrorKind::internal, "no end of " + out);
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0) throw sys_error("read client");
    if (got == 0) return out;
    out.append(buffer, static_cast<std::size_t>(got));
  }
}

std::string ShimTest::read_until(int fd, const std::string& text) {
  std::string out;
  char byte = 0;
  while (!out.ends_with(text)) {
    if (!wait_readable(fd, static_cast<int>(patience.count())) || ::read(fd, &byte, 1) != 1) {
      throw Error(ErrorKind::internal, concat("\"", text, "\" did not come, but \"", out, "\""));
    }
    out.push_back(byte);
  }
  return out;
}

std::string ShimTest::unframe(const std::string& frames, int stream) {
  std::string out;
  std::size_t at = 0;
  while (at + 8 <= frames.size()) {
    std::size_t length = 0;
    for (std::size_t i = 4; i < 8; ++i) length = length * 256 + static_cast<unsigned char>(frames[at + i]);
    if (frames[at] == stream) out += frames.substr(at + 8, length);
    at += 8 + length;
  }
  EXPECT_EQ(at, frames.size()) << "torn frame";
  return out;
}

std::string ShimTest::read_log() const {
  engine::LogReader reader(config.log.path, {.framed = false});
  std::string out;
  while (reader.read_some(out) == engine::LogReadState::more) {
  }
  return out;
}

}  // namespace mydocker::test
