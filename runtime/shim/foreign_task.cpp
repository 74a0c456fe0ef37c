#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/mount.h"
#include "engine/base/sys.h"
#include "runtime/bundle.h"
#include "runtime/shim/container_task.h"
#include "runtime/shim/foreign_spec.h"
#include "runtime/shim/oci_program.h"

namespace mydocker::shim {
namespace {

const std::string console_name = "console";
const std::string pid_name = "pid";
const std::string process_name = "process.json";
constexpr std::size_t pid_limit = 32;

/// The end of the pty that the runtime sends to --console-socket.
class ConsoleReceiver {
 public:
  explicit ConsoleReceiver(const std::string& directory) : path_(concat(directory, "/", console_name)) {
    ::unlink(path_.c_str());
    listener_ = listen_unix(path_, SOCK_STREAM);
  }
  ConsoleReceiver(const ConsoleReceiver&) = delete;
  ConsoleReceiver& operator=(const ConsoleReceiver&) = delete;
  ~ConsoleReceiver() { ::unlink(path_.c_str()); }

  /// After the runtime has ended: what it sent waits in the socket.
  UniqueFd take() {
    if (!wait_readable(listener_.get(), 0)) throw Error(ErrorKind::internal, "the runtime has sent no terminal");
    const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) throw sys_error("accept the runtime's terminal");
    std::optional<Packet> packet = receive_packet(connection.get());
    if (!packet || packet->fds.empty()) throw Error(ErrorKind::internal, "the runtime has sent no terminal");
    return std::move(packet->fds.front());
  }

 private:
  std::string path_;
  UniqueFd listener_;
};

pid_t read_pid_file(const std::string& path) {
  const std::string text = read_file(path, pid_limit);
  int pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc{} || pid <= 1) throw Error(ErrorKind::internal, concat("bad pid file ", path));
  return pid;
}

/// Another OCI runtime, driven by its command line through an ordinary bundle:
///   <directory>/oci/         config.json, pid, console, process.json, log.json
///   <directory>/oci/rootfs/  the overlay, mounted in this process's own mount namespace
///   <directory>/oci/state/   the runtime's --root
class ForeignTask final : public ContainerTask {
 public:
  ForeignTask(runtime::ForeignRuntime runtime, const std::string& directory)
      : runtime_(std::move(runtime)), directory_(directory + "/oci") {}
  ~ForeignTask() override { remove(); }

  void create(runtime::TaskOptions options) override;
  bool finds_cgroup() const noexcept override { return true; }
  UniqueFd netns() const override {
    return own_network_ ? open_file(concat("/proc/", pid_, "/ns/net"), O_RDONLY) : UniqueFd();
  }
  void wait_created() override {}  // create() returns when that is done
  UniqueFd take_console() override { return std::move(console_); }
  void start() override;
  ExecProcess exec(const runtime::ExecOptions& options) override;
  bool kill(int signal) override;
  void remove() noexcept override;
  pid_t pid() const noexcept override { return pid_; }
  int pidfd() const noexcept override { return pidfd_.get(); }
  const Trace& trace() const noexcept override { return trace_; }

 private:
  void mount_root(const runtime::TaskOptions& options);

  runtime::ForeignRuntime runtime_;
  std::string directory_;
  std::optional<OciProgram> program_;
  std::string id_;
  bool own_network_ = false;
  bool mounted_ = false;
  bool made_ = false;  ///< the runtime may hold something: delete has to be called
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd console_;
  Trace trace_{"create"};
};

/// The shim's mount namespace becomes its own: what is mounted there goes with it, and the host never sees it. It still
/// follows the host's mounts, from which the binds come.
void enter_own_mounts() {
  if (::unshare(CLONE_NEWNS) != 0) throw sys_error("unshare the mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) throw sys_error("make the mounts slaves");
}

bool is_same_place(int one, int other) {
  struct statx left{};
  struct statx right{};
  for (const auto& [fd, status] : {std::pair(one, &left), std::pair(other, &right)}) {
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, status) != 0) throw sys_error("stat of a root");
  }
  return left.stx_mnt_id == right.stx_mnt_id && left.stx_ino == right.stx_ino;
}

/// Other runtimes exec by setns(2) alone, which leads to the root of the container's mount namespace. It is a copy of
/// ours, and where the engine lives in a chroot its root would be the machine's: the chroot becomes that root.
void make_chroot_the_root() {
  const UniqueFd root = open_file("/", O_PATH | O_DIRECTORY);
  const UniqueFd own = open_file("/proc/self/ns/mnt", O_RDONLY);
  if (::setns(own.get(), CLONE_NEWNS) != 0) throw sys_error("go to the root of the mount namespace");
  const UniqueFd namespace_root = open_file("/", O_PATH | O_DIRECTORY);
  if (is_same_place(root.get(), namespace_root.get())) return;
  const UniqueFd tree = clone_mount(root.get(), "", true);
  attach_mount(tree.get(), root.get());
  pivot_to(tree.get());
}

/// crun refuses a hybrid host whose v2 tree has controllers, even if a container asks for none of them: it is not shown
/// that tree. What is limited by it cannot be limited by another runtime on such a host.
void hide_hybrid_tree() {
  const runtime::CgroupLayout layout = runtime::CgroupLayout::detect();
  if (layout.mode != runtime::CgroupMode::hybrid) return;
  for (const runtime::CgroupHierarchy& one : layout.hierarchies) {
    if (!one.v2) continue;
    const std::string path = concat(layout.root, "/", one.directory);
    if (::mount("none", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k") != 0) {
      throw sys_error("hide ", path);
    }
  }
}

void ForeignTask::mount_root(const runtime::TaskOptions& options) {
  const std::string rootfs = directory_ + "/rootfs";
  make_dirs(rootfs, 0700);
  if (!options.overlay) return;
  const UniqueFd target = open_file(rootfs, O_PATH | O_DIRECTORY);
  mount_overlay(*options.overlay, target.get());
  mounted_ = true;
  if (::chdir("/") != 0) throw sys_error("chdir /");
}

void ForeignTask::create(runtime::TaskOptions options) {
  id_ = options.id;
  own_network_ = runtime::find_namespace(options.spec, "network") != nullptr;
  program_.emplace(runtime_, directory_, !options.spec.linux.cgroups_path.starts_with('/'));
  mount_root(options);
  const std::string rootfs = options.overlay ? directory_ + "/rootfs" : options.spec.root.path;
  const UniqueFd root = open_file(rootfs, O_RDONLY | O_DIRECTORY);
  const runtime::Spec spec = make_foreign_spec(options, root.get(), rootfs);
  runtime::write_bundle(directory_, spec);
  trace_.mark("bundle");
  std::vector<std::string> verb{"create", "--bundle", directory_, "--pid-file", directory_ + "/" + pid_name};
  std::optional<ConsoleReceiver> console;
  if (spec.process.terminal) {
    console.emplace(directory_);
    verb.insert(verb.end(), {"--console-socket", console_name});
  }
  verb.push_back(id_);
  made_ = true;
  program_->run(verb, options.stdio);
  pid_ = read_pid_file(directory_ + "/" + pid_name);
  pidfd_ = open_pidfd(pid_);
  if (console) console_ = console->take();
  trace_.mark("runtime create");
}

void ForeignTask::start() {
  program_->run({"start", id_});
  trace_.mark("runtime start");
}

ExecProcess ForeignTask::exec(const runtime::ExecOptions& options) {
  const UniqueFd root = open_file(concat("/proc/", pid_, "/root"), O_RDONLY | O_DIRECTORY);
  const runtime::Process process = make_foreign_process(root.get(), options.process, options.user, options.group_add,
                                                        options.resolve_home, options.requested_rlimits);
  const std::string process_file = directory_ + "/" + process_name;
  const std::string pid_file = directory_ + "/exec-" + pid_name;
  {
    const UniqueFd file = open_file(process_file, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    write_all(file.get(), write_json(to_json(process)));
  }
  std::vector<std::string> verb{"exec", "--detach", "--process", process_file, "--pid-file", pid_file};
  std::optional<ConsoleReceiver> console;
  if (process.terminal) {
    console.emplace(directory_);
    verb.insert(verb.end(), {"--console-socket", console_name});
  }
  verb.push_back(id_);
  program_->run(verb, options.stdio);
  ExecProcess out;
  out.pid = read_pid_file(pid_file);
  out.pidfd = open_pidfd(out.pid);  // ours to reap, so the number is still its own
  if (console) out.console = console->take();
  return out;
}

bool ForeignTask::kill(int signal) {
  if (!pidfd_ || wait_readable(pidfd_.get(), 0)) return false;
  try {
    program_->run({"kill", id_, std::to_string(signal)});
  } catch (const Error&) {
    if (wait_readable(pidfd_.get(), 0)) return false;  // it ended meanwhile
    throw;
  }
  return true;
}

void ForeignTask::remove() noexcept {
  try {
    if (std::exchange(made_, false)) program_->run({"delete", "--force", id_});
  } catch (const std::exception& error) {  // as after a create that failed and cleaned up by itself
    log::debug("the runtime's delete", {{"container", id_}, {"error", error.what()}});
  }
  if (std::exchange(mounted_, false)) ::umount2((directory_ + "/rootfs").c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

}  // namespace

std::unique_ptr<ContainerTask> make_foreign_task(runtime::ForeignRuntime runtime, std::string directory) {
  enter_own_mounts();
  make_chroot_the_root();
  hide_hybrid_tree();
  if (::chdir("/") != 0) throw sys_error("chdir /");
  return std::make_unique<ForeignTask>(std::move(runtime), directory);
}

}  // namespace mydocker::shim
