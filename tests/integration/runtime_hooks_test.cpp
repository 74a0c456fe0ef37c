#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "engine/base/sys.h"
#include "tests/integration/runtime_fixture.h"

/// Programs of the caller's beside the container: hooks (config.md "POSIX-platform Hooks"), the seccomp agent
/// (config-linux.md "The Container Process State"), readiness (man 3 sd_notify).
namespace mydocker::test {
namespace {

class RuntimeHookTest : public RuntimeTest {
 protected:
  /// A hook that appends "NAME PID-NAMESPACE-IS-OURS MOUNT-NAMESPACE-IS-OURS STATE" to a file and ends with `code`.
  json::value make_hook(const std::string& name, int code = 0) {
    const std::string script =
        concat("read state; pid=other; mnt=other; [ $(readlink /proc/self/ns/pid) = \"$P\" ] && pid=host; ",
               "[ $(readlink /proc/self/ns/mnt) = \"$M\" ] && mnt=host; echo ", name, " $pid $mnt \"$state\" >> ",
               root(), "/hooks; exit ", code);
    return json::object{{"path", "/bin/sh"},
                        {"args", json::array{"sh", "-c", script}},
                        {"env", json::array{"PATH=/bin:/usr/bin", "P=" + own("pid"), "M=" + own("mnt")}}};
  }
  static std::string own(const std::string& type) {
    return std::filesystem::read_symlink("/proc/self/ns/" + type).string();
  }
  /// The lines of the file, each as name, namespaces, and the state as a document.
  struct Ran {
    std::string name;
    std::string where;
    json::value state;
  };
  std::vector<Ran> ran() {
    std::vector<Ran> out;
    if (!path_exists(root() + "/hooks")) return out;
    std::string text = read("hooks");
    while (!text.empty()) {
      const std::string line = text.substr(0, text.find('\n'));
      text.erase(0, line.size() + 1);
      const std::size_t name = line.find(' ');
      const std::size_t brace = line.find('{');
      out.push_back({line.substr(0, name), line.substr(name + 1, brace - name - 2), parse_json(line.substr(brace))});
    }
    return out;
  }
  std::string names() {
    std::string out;
    for (const Ran& one : ran()) out += one.name + " ";
    return out;
  }
  json::value with_hooks(const std::string& script, const char* failing = "") {
    json::value config = make_config(script);
    edit(config, "annotations")["com.example.key"] = "value";
    for (const char* name : {"prestart", "createRuntime", "createContainer", "poststart", "poststop"}) {
      const int code = std::string(failing) == name ? 3 : 0;
      edit(config, "hooks")[name] = json::array{make_hook(std::string(name), code), make_hook(std::string(name) + "2")};
    }
    return config;
  }
};

TEST_F(RuntimeHookTest, EachRunsAtItsTimeAndPlaceWithTheState) {
  start(with_hooks("sleep 1000"));
  EXPECT_EQ(names(),
            "prestart prestart2 createRuntime createRuntime2 createContainer createContainer2 poststart poststart2 ");
  const std::int64_t container = pid();
  for (const Ran& hook : ran()) {
    const bool inside = hook.name.starts_with("createContainer");
    EXPECT_EQ(hook.where, inside ? "other other" : "host host") << hook.name;
    EXPECT_EQ(hook.state.at("status").as_string(), hook.name.starts_with("poststart") ? "running" : "creating");
    EXPECT_EQ(hook.state.at("id").as_string(), "one");
    EXPECT_EQ(hook.state.at("pid").as_int64(), container) << hook.name;
    EXPECT_EQ(hook.state.at("bundle").as_string(), bundle());
    EXPECT_EQ(hook.state.at("annotations").at("com.example.key").as_string(), "value");
    EXPECT_TRUE(hook.state.at("ociVersion").as_string().starts_with("1."));
  }
  delete_forced();
  ASSERT_EQ(ran().size(), 10U);
  EXPECT_EQ(ran().back().name, "poststop2");
  EXPECT_EQ(ran().back().state.at("status").as_string(), "stopped");
}

TEST_F(RuntimeHookTest, StartContainerRunsInsideWithTheContainersRoot) {
  json::value config = make_config("cat /seen");
  edit(config, "hooks")["startContainer"] =
      json::array{json::object{{"path", "/bin/sh"}, {"args", json::array{"sh", "-c", "cat > /seen; echo >> /seen"}}}};
  const CommandResult result = run(config);
  ASSERT_EQ(result.code, 0) << result.err;
  const json::value state = parse_json(result.out);
  EXPECT_EQ(state.at("status").as_string(), "created");
  EXPECT_GT(state.at("pid").as_int64(), 1);
}

TEST_F(RuntimeHookTest, AFailureBeforeTheStartEndsTheContainer) {
  for (const char* name : {"prestart", "createRuntime", "createContainer"}) {
    ::unlink((root() + "/hooks").c_str());
    expect_refused(run(with_hooks("echo never", name)), concat("hook ", name, " /bin/sh: exit status 3"));
    const std::string seen = names();
    EXPECT_TRUE(seen.ends_with(concat(name, " poststop poststop2 "))) << seen;
  }
}

TEST_F(RuntimeHookTest, AFailureAfterTheStartIsAWarningAndTheOthersFollow) {
  for (const char* name : {"poststart", "poststop"}) {
    ::unlink((root() + "/hooks").c_str());
    const CommandResult result = run(with_hooks("echo ran", name));
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.out, "ran\n");
    EXPECT_NE(result.err.find(concat("warning: hook ", name, " /bin/sh: exit status 3")), std::string::npos)
        << result.err;
    EXPECT_NE(names().find(concat(name, "2 ")), std::string::npos);
  }
}

TEST_F(RuntimeHookTest, ATimeoutEndsTheHook) {
  json::value config = make_config("echo never");
  edit(config, "hooks")["createRuntime"] = json::array{json::object{{"path", "/bin/sleep"},
                                                                    {"args", json::array{"sleep", "1000"}},
                                                                    {"env", json::array{"MARK=" + cgroup_parent()}},
                                                                    {"timeout", 1}}};
  const auto begin = std::chrono::steady_clock::now();
  expect_refused(run(config), "hook createRuntime /bin/sleep: timed out");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(900));
  edit(config, "hooks")["createRuntime"] = json::array{json::object{{"path", "relative/hook"}}};
  expect_refused(run(config), "hooks path must be an absolute path");
  edit(config, "hooks")["createRuntime"] = json::array{json::object{{"path", "/no/such/hook"}}};
  expect_refused(run(config), "/no/such/hook");
  edit(config, "hooks")["createRuntime"] = json::array{json::object{{"path", "/bin/true"}, {"timeout", 0}}};
  expect_refused(run(config), "hooks timeout must be positive");
}

json::value make_notify_profile(const std::string& listener) {
  return json::object{{"defaultAction", "SCMP_ACT_ALLOW"},
                      {"architectures", json::array{"SCMP_ARCH_X86_64"}},
                      {"listenerPath", listener},
                      {"listenerMetadata", "who asks"},
                      {"syscalls", json::array{json::object{{"names", json::array{"mkdir", "mkdirat"}},
                                                            {"action", "SCMP_ACT_NOTIFY"}}}}};
}

/// A seccomp agent: takes one listener and answers one call with EXDEV.
class Agent {
 public:
  explicit Agent(const std::string& path) : listener_(listen_unix(path, SOCK_STREAM)), thread_([this] { serve(); }) {}
  ~Agent() { thread_.join(); }
  json::value message() {
    thread_.join();
    thread_ = std::thread([] {});
    return message_;
  }

 private:
  void serve() {
    if (!wait_readable(listener_.get(), 20000)) return;
    const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    UniqueFd notify;
    message_ = receive(connection.get(), notify);
    const int fd = notify.get();
    if (!wait_readable(fd, 20000)) return;
    seccomp_notif request{};
    if (::ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) return;
    seccomp_notif_resp answer{};
    answer.id = request.id;
    answer.error = -EXDEV;
    ::ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }

  /// One message with one descriptor, as agents read it from the stream.
  static json::value receive(int socket, UniqueFd& fd) {
    char text[65536];
    iovec data{text, sizeof text};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t length = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    const cmsghdr* rights = CMSG_FIRSTHDR(&header);
    if (length <= 0 || rights == nullptr) return nullptr;
    int received = -1;
    std::memcpy(&received, CMSG_DATA(rights), sizeof received);
    fd = UniqueFd(received);
    return parse_json(std::string_view(text, static_cast<std::size_t>(length)));
  }

  json::value message_;
  UniqueFd listener_;
  std::thread thread_;
};

TEST_F(RuntimeHookTest, TheSeccompListenerGoesToTheAgent) {
  const std::string path = root() + "/agent";
  json::value config = make_config("mkdir /made 2>&1; echo $?");
  edit(config, "linux")["seccomp"] = make_notify_profile(path);
  for (const bool no_new_privileges : {true, false}) {
    edit(config, "process")["noNewPrivileges"] = no_new_privileges;
    Agent agent(path);
    const CommandResult result = run(config);
    EXPECT_EQ(result.out, "mkdir: can't create directory '/made': Invalid cross-device link\n1\n") << result.err;
    const json::value message = agent.message();
    EXPECT_EQ(message.at("fds"), (json::array{"seccompFd"}));
    EXPECT_EQ(message.at("metadata").as_string(), "who asks");
    EXPECT_EQ(message.at("state").at("id").as_string(), "one");
    EXPECT_EQ(message.at("state").at("pid"), message.at("pid"));
    ::unlink(path.c_str());
  }
}

TEST_F(RuntimeHookTest, AnExecHasAListenerOfItsOwn) {
  const std::string path = root() + "/agent";
  json::value config = make_config("sleep 1000");
  edit(config, "linux")["seccomp"] = make_notify_profile(path);
  {
    const UniqueFd first = listen_unix(path, SOCK_STREAM);
    start(config);
    ::unlink(path.c_str());
  }
  Agent agent(path);
  EXPECT_EQ(exec("mkdir /made 2>&1").out, "mkdir: can't create directory '/made': Invalid cross-device link\n");
  const json::value message = agent.message();
  EXPECT_EQ(message.at("state").at("id").as_string(), "one");
  EXPECT_EQ(message.at("state").at("pid").as_int64(), pid());
  EXPECT_NE(message.at("pid").as_int64(), pid());
  delete_forced();
}

TEST_F(RuntimeHookTest, WithoutItsAgentTheContainerDoesNotStart) {
  json::value config = make_config("echo never");
  edit(config, "linux")["seccomp"] = make_notify_profile(root() + "/nobody");
  expect_refused(run(config), "nobody");
  create(config);
  EXPECT_EQ(runtime({"start", "one"}).code, 1);
  EXPECT_TRUE(eventually([&] { return status() == "stopped"; }));
  delete_forced();
  ::unlink(log_file().c_str());
  edit(config, "linux", "seccomp").erase("listenerPath");
  expect_refused(run(config), "SCMP_ACT_NOTIFY without a listenerPath");
  edit(config, "linux")["seccomp"] = make_notify_profile("/x");
  edit(config, "linux", "seccomp")["defaultAction"] = "SCMP_ACT_NOTIFY";
  expect_refused(run(config), "SCMP_ACT_NOTIFY cannot be the default action");
  edit(config, "linux")["seccomp"] = make_notify_profile("/x");
  edit(config, "linux", "seccomp")["syscalls"] =
      json::array{json::object{{"names", json::array{"sendmsg"}}, {"action", "SCMP_ACT_NOTIFY"}}};
  expect_refused(run(config), "SCMP_ACT_NOTIFY cannot be used for sendmsg");
}

TEST_F(RuntimeHookTest, SeccompActionsAndArgumentsDecide) {
  json::value config = make_config("mkdir /tmp/a 2>&1; echo $?");
  edit(config, "linux")["seccomp"] = make_notify_profile("");
  json::object& rule = config.at("linux").at("seccomp").at("syscalls").at(0).as_object();
  edit(config, "linux", "seccomp").erase("listenerPath");
  rule["action"] = "SCMP_ACT_ERRNO";
  rule["errnoRet"] = 18;
  EXPECT_EQ(run(config).out, "mkdir: can't create directory '/tmp/a': Invalid cross-device link\n1\n");
  rule.erase("errnoRet");
  EXPECT_EQ(run(config).out, "mkdir: can't create directory '/tmp/a': Operation not permitted\n1\n");
  for (const char* action : {"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"}) {
    rule["action"] = action;
    EXPECT_NE(run(config).out.find("159\n"), std::string::npos) << action;  // SIGSYS
  }
  rule["action"] = "SCMP_ACT_LOG";
  EXPECT_EQ(run(config).out, "0\n");
  rule["action"] = "SCMP_ACT_TRACE";  // nobody traces: ENOSYS
  EXPECT_NE(run(config).out.find("Function not implemented"), std::string::npos);
  rule["action"] = "SCMP_ACT_ERRNO";
  rule["args"] = json::array{json::object{{"index", 1}, {"value", 0700}, {"op", "SCMP_CMP_EQ"}}};
  ASSERT_EQ(::rmdir((rootfs() + "/tmp/a").c_str()), 0);
  EXPECT_EQ(run(config).out, "0\n");  // busybox asks for 0777
  edit(config, "linux", "seccomp")["flags"] = json::array{"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  EXPECT_EQ(run(make_config("true")).code, 0);
  for (const auto& [member, value] : {std::pair{"flags", "SECCOMP_X"}, {"architectures", "SCMP_ARCH_X"}}) {
    edit(config, "linux", "seccomp")[member] = json::array{value};
    expect_refused(run(config), value);
    edit(config, "linux", "seccomp").erase(member);
  }
  rule["action"] = "SCMP_ACT_X";
  expect_refused(run(config), "unknown action \"SCMP_ACT_X\"");
}

TEST_F(RuntimeHookTest, CompiledFiltersAreKeptAndOnlyOurOwnAreTaken) {
  json::value config = make_config("mkdir /tmp/a 2>/dev/null; echo $?");
  edit(config, "linux")["seccomp"] = make_notify_profile("");
  edit(config, "linux", "seccomp").erase("listenerPath");
  config.at("linux").at("seccomp").at("syscalls").at(0).as_object()["action"] = "SCMP_ACT_ERRNO";
  EXPECT_EQ(run(config).out, "1\n");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(state_root() + "/.filters@")) files.push_back(entry);
  ASSERT_EQ(files.size(), 1U);
  struct stat status{};
  ASSERT_EQ(::stat(files[0].c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  const std::string good = read_file(files[0]);
  // It is taken: a kept program that lets everything pass decides, as long as nobody else could have written it.
  std::string open = good.substr(0, good.size());
  for (std::size_t at = 16 + good.find("SCMP_ACT_ALLOW"); at + 8 <= open.size(); ++at) {
    if (open.compare(at, 8, std::string("\x06\0\0\0\x01\0\x05\0", 8)) == 0)
      open.replace(at, 8, std::string("\x06\0\0\0\0\0\xff\x7f", 8));
  }
  ASSERT_NE(open, good);
  write_all(open_file(files[0], O_WRONLY | O_TRUNC).get(), open);
  EXPECT_EQ(run(config).out, "0\n");
  ASSERT_EQ(::rmdir((rootfs() + "/tmp/a").c_str()), 0);
  ASSERT_EQ(::chmod(files[0].c_str(), 0620), 0);
  EXPECT_EQ(run(config).out, "1\n");
  // Replaced by a good one, then cut short and garbled.
  EXPECT_EQ(read_file(files[0]), good);
  for (const std::string& bad : {good.substr(0, 40), std::string("x"), std::string(good.size(), '\0')}) {
    write_all(open_file(files[0], O_WRONLY | O_TRUNC).get(), bad);
    EXPECT_EQ(run(config).out, "1\n");
  }
}

/// The service manager's end.
UniqueFd bind_datagrams(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw sys_error("bind");
  return socket;
}

std::string receive_datagram(const UniqueFd& socket) {
  if (!wait_readable(socket.get(), 20000)) return "nothing";
  char buffer[256];
  const ssize_t got = ::recv(socket.get(), buffer, sizeof buffer, 0);
  return std::string(buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
}

TEST_F(RuntimeHookTest, ReadinessReachesTheServiceManager) {
  const UniqueFd manager = bind_datagrams(root() + "/manager");
  const std::vector<std::string> environment = {"NOTIFY_SOCKET=" + root() + "/manager"};
  write_config(make_config_for({"/payload", "notify", "STATUS=evil\nREADY=1\nMAINPID=1"}));
  const CommandResult foreground = runtime({"run", "--bundle", bundle(), "one"}, {.environment = environment});
  EXPECT_EQ(foreground.code, 0) << foreground.err;
  EXPECT_EQ(receive_datagram(manager), "READY=1");
  write_config(make_config_for({"/payload", "notify", "READY=1", "stay"}));
  CommandOptions options{.environment = environment};
  options.standard_output_file = root() + "/out";
  ASSERT_EQ(run_command({"sh", "-c", "exec \"$@\" 2>/dev/null", "sh", program("mydocker-runtime"), "--root",
                         state_root(), "run", "--detach", "--bundle", bundle(), "one"},
                        options)
                .code,
            0);
  EXPECT_EQ(receive_datagram(manager), concat("READY=1\nMAINPID=", pid()));
  delete_forced();
  // Nobody asks: the container has no such variable.
  EXPECT_EQ(run(make_config("echo $NOTIFY_SOCKET")).out, "\n");
}

}  // namespace
}  // namespace mydocker::test
