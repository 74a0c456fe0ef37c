#include "runtime/rootfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "engine/base/failpoint.h"
#include "engine/base/mount.h"
#include "engine/base/sys.h"
#include "runtime/copy_up.h"
#include "runtime/devices.h"
#include "runtime/mount_options.h"

namespace mydocker::runtime {
namespace {

constexpr ino_t procfs_root_inode = 1;

std::uint64_t parse_propagation(std::string_view word) {
  if (word.starts_with("r")) word.remove_prefix(1);
  if (word == "slave") return MS_SLAVE;
  if (word == "shared") return MS_SHARED;
  if (word == "unbindable") return MS_UNBINDABLE;
  return MS_PRIVATE;
}

/// How the copy of the host's tree relates to the host while we build. Private is the cheapest and the safest; a bind
/// that shall see later mounts of the host needs a slave, one that shall show ours to the host must stay shared.
std::uint64_t initial_propagation(const Spec& spec) {
  std::uint64_t propagation = parse_propagation(spec.linux.rootfs_propagation);
  if (propagation == MS_UNBINDABLE) propagation = MS_PRIVATE;
  for (const Mount& mount : spec.mounts) {
    for (const std::string& word : mount.options) {
      if (word == "shared" || word == "rshared") propagation = MS_SHARED;
      if ((word == "slave" || word == "rslave") && propagation == MS_PRIVATE) propagation = MS_SLAVE;
    }
  }
  return propagation;
}

bool is_directory(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw sys_error("fstat of a mount");
  return S_ISDIR(status.st_mode);
}

/// procfs and sysfs go onto the very path they are named for: a link there would put them where the masks are not
/// (CVE-2019-19921 and its kin).
UniqueFd open_strict_target(int root, const std::string& destination) {
  const std::size_t begin = destination.find_first_not_of('/');
  const std::string relative = begin == std::string::npos ? "." : destination.substr(begin);
  try {
    make_dirs_in_root(root, relative);
    return open_beneath(root, relative, O_PATH | O_DIRECTORY);
  } catch (const Error& error) {
    throw LaunchError(
        ErrorKind::invalid_argument,
        concat("mount ", destination, ": the image has something else than a directory there: ", error.message()), 128,
        error.errno_value());
  }
}

UniqueFd make_file_target(int root, const std::string& destination) {
  const std::size_t slash = destination.rfind('/');
  if (slash != std::string::npos && slash > 0) make_dirs_in_root(root, destination.substr(0, slash));
  // Without O_EXCL a dangling link of the image leads on to its target, inside the root.
  return open_in_root(root, destination, O_CREAT | O_RDONLY | O_NONBLOCK | O_NOCTTY, 0644);
}

[[noreturn]] void throw_kind_mismatch(const Mount& mount) {
  throw LaunchError(ErrorKind::invalid_argument,
                    concat("error mounting \"", mount.source, "\" to rootfs at \"", mount.destination,
                           "\": not a directory: Are you trying to mount a directory onto a file (or vice-versa)? "
                           "Check if the specified host path exists and is the expected type"),
                    127, ENOTDIR);
}

UniqueFd open_target(int root, const Mount& mount, bool directory) {
  UniqueFd target = find_in_root(root, mount.destination, O_PATH);
  if (!target) {
    return directory ? make_dirs_in_root(root, mount.destination) : make_file_target(root, mount.destination);
  }
  if (is_directory(target.get()) != directory) throw_kind_mismatch(mount);
  return target;
}

void apply_options(int fd, const MountOptions& options) {
  if (options.set != 0 || options.clear != 0) set_mount_attributes(fd, options.set, options.clear, 0, false);
  if (options.set_recursive != 0 || options.clear_recursive != 0) {
    set_mount_attributes(fd, options.set_recursive, options.clear_recursive, 0, true);
  }
}

void prove_procfs(int mount) {
  struct statfs kind{};
  struct stat status{};
  if (::fstatfs(mount, &kind) != 0 || ::fstat(mount, &status) != 0) throw sys_error("stat of the procfs");
  if (kind.f_type != PROC_SUPER_MAGIC || status.st_ino != procfs_root_inode) {
    throw Error(ErrorKind::internal, "/proc of the container is no procfs");
  }
}

bool has_parameter(const MountOptions& options, std::string_view key) {
  return std::any_of(options.parameters.begin(), options.parameters.end(),
                     [&](const auto& parameter) { return parameter.first == key; });
}

std::string to_octal(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%o", static_cast<unsigned>(mode));
  return text;
}

/// Superblock options beside the mount's own: runc takes an unnamed mode from the directory that is covered.
MountParameters complete_parameters(const Mount& mount, const MountOptions& options, int target, bool existed) {
  MountParameters parameters = options.parameters;
  if (mount.type == "tmpfs" && existed && !has_parameter(options, "mode")) {
    struct stat status{};
    if (::fstat(target, &status) != 0) throw sys_error("fstat ", mount.destination);
    parameters.emplace_back("mode", to_octal(status.st_mode & 07777));
  }
  if (!mount.source.empty()) parameters.emplace_back("source", mount.source);
  return parameters;
}

UniqueFd open_host_path(const TaskOptions& options, const std::string& path) {
  const std::string whole = path.starts_with("/") ? path : concat(options.bundle, "/", path);
  return open_file(whole, O_PATH);
}

/// A copy of a mount of another namespace. The calling process goes there and comes back; it has no thread and no
/// working directory to lose yet.
UniqueFd clone_mount_of_namespace(const std::string& mount_namespace, const std::string& path, bool recursive) {
  const UniqueFd own = open_file("/proc/self/ns/mnt", O_RDONLY);
  const UniqueFd own_root = open_file("/", O_PATH | O_DIRECTORY);
  const UniqueFd other = open_file(mount_namespace, O_RDONLY);
  // "/proc/<pid>/ns/mnt"; the root counts where we live in a chroot.
  const std::string process = mount_namespace.substr(0, mount_namespace.rfind("/ns/"));
  const UniqueFd other_root = open_file(process + "/root", O_PATH | O_DIRECTORY);
  enter_mount_namespace(other.get(), CLONE_NEWNS, other_root.get());
  UniqueFd tree;
  std::exception_ptr failure;
  try {
    const UniqueFd root = open_file("/", O_PATH | O_DIRECTORY);
    const UniqueFd source = open_in_root(root.get(), path, O_PATH);
    tree = clone_mount(source.get(), "", recursive);
  } catch (...) {  // thrown on when we are back
    failure = std::current_exception();
  }
  const bool back = ::setns(own.get(), CLONE_NEWNS) == 0 && ::fchdir(own_root.get()) == 0 && ::chroot(".") == 0;
  if (!back) throw sys_error("come back from ", mount_namespace);
  if (failure) std::rethrow_exception(failure);
  return tree;
}

/// The layers of an overlay that was asked for by "lowerdir+" options alone; empty for any other mount.
OverlayMount read_only_stack(const Mount& mount, const MountOptions& options) {
  OverlayMount stack;
  if (mount.type != "overlay") return stack;
  for (const auto& [key, value] : options.parameters) {
    if (key == "lowerdir+") stack.lower.push_back(value);
  }
  if (stack.lower.size() != options.parameters.size()) stack.lower.clear();
  stack.read_only = true;
  return stack;
}

/// A sub-path, looked up inside of what it is a part of.
UniqueFd open_part(int whole, const std::string& subpath) {
  UniqueFd part = find_in_root(whole, subpath, O_PATH);
  if (part) return part;
  throw Error(ErrorKind::invalid_argument, concat("cannot access path \"", subpath, "\": no such file or directory"));
}

}  // namespace

Rootfs::Rootfs(const TaskOptions& options, const CgroupLayout* cgroups, const std::vector<UniqueFd>& id_mapped_mounts)
    : options_(options), spec_(options.spec), cgroups_(cgroups), id_mapped_mounts_(id_mapped_mounts) {
  const std::uint64_t propagation = initial_propagation(spec_);
  if (::mount(nullptr, "/", nullptr, MS_REC | propagation, nullptr) != 0) throw sys_error("set the propagation of /");
  failpoint("rootfs.attach");
  UniqueFd place = open_host_path(options, options.overlay ? "." : spec_.root.path);
  if (propagation == MS_SHARED) {  // pivot_root refuses a shared parent
    UniqueFd own = clone_mount(place.get(), "", false);
    UniqueFd below = open_at(own.get(), ".", O_PATH | O_DIRECTORY);
    attach_mount(own.get(), place.get());
    set_mount_attributes(own.get(), 0, 0, MS_PRIVATE, false);  // a shared parent has just shared it
    helper_mount_ = std::move(own);
    place = std::move(below);
  }
  if (options.overlay) {
    root_ = mount_overlay(*options.overlay, place.get());
    return;
  }
  if (!is_directory(place.get())) throw Error(ErrorKind::invalid_argument, "root.path is not a directory");
  root_ = clone_mount(place.get(), "", true);
  set_mount_attributes(root_.get(), 0, 0, MS_PRIVATE, true);
  attach_mount(root_.get(), place.get());
}

Rootfs::~Rootfs() {
  // A start that fails before enter(): the peers of the parent must not keep the helper mount.
  if (helper_mount_ && ::fchdir(helper_mount_.get()) == 0) ::umount2(".", MNT_DETACH);
}

void Rootfs::mount_all() {
  for (std::size_t i = 0; i < spec_.mounts.size(); ++i) {
    const Mount& mount = spec_.mounts[i];
    try {
      mount_one(mount, id_mapped_mounts_[i].get());
    } catch (const LaunchError&) {
      throw;
    } catch (Error& error) {
      error.add_context(concat("error mounting \"", mount.source, "\" to rootfs at \"", mount.destination, "\""));
      throw;
    }
  }
  make_devices(root_.get(), spec_);
}

void Rootfs::mount_one(const Mount& mount, int id_mapped) {
  const MountOptions options = parse_mount_options(mount);
  if (options.bind) return mount_bind(mount, id_mapped);
  if (mount.type == "cgroup" || mount.type == "cgroup2") return mount_cgroup(mount);
  mount_file_system(mount);
}

void Rootfs::mount_bind(const Mount& mount, int id_mapped) {
  const MountOptions options = parse_mount_options(mount);
  UniqueFd tree;
  if (id_mapped >= 0) {
    tree = duplicate_fd(id_mapped);
  } else if (!options.mount_namespace.empty()) {
    tree = clone_mount_of_namespace(options.mount_namespace, mount.source, options.recursive_bind);
  } else {
    UniqueFd source = open_host_path(options_, mount.source);
    if (!options.subpath.empty()) source = open_part(source.get(), options.subpath);
    tree = clone_mount(source.get(), "", options.recursive_bind);
  }
  const UniqueFd target = open_target(root_.get(), mount, is_directory(tree.get()));
  apply_options(tree.get(), options);
  const std::uint64_t propagation = options.propagation != 0 ? options.propagation : std::uint64_t{MS_PRIVATE};
  const bool recursive = options.propagation != 0 ? options.propagation_recursive : options.recursive_bind;
  set_mount_attributes(tree.get(), 0, 0, propagation, recursive);
  attach_mount(tree.get(), target.get());
}

/// What lies at `subpath` in the stack, as a mount of its own; links lead to nothing outside. Only what is mounted can
/// be cloned: for a moment the stack covers the root, which is used by its descriptor.
UniqueFd Rootfs::clone_part_of_stack(const OverlayMount& stack, const std::string& subpath) {
  const UniqueFd whole = mount_overlay(stack, root_.get());
  const auto uncover = [&] {
    if (::umount2(concat("/proc/self/fd/", whole.get()).c_str(), MNT_DETACH) != 0) throw sys_error("umount overlay");
  };
  UniqueFd part;
  try {
    part = clone_mount(open_part(whole.get(), subpath).get(), "", false);
  } catch (...) {
    uncover();
    throw;
  }
  uncover();
  return part;
}

void Rootfs::mount_file_system(const Mount& mount) {
  const MountOptions options = parse_mount_options(mount);
  const OverlayMount stack = read_only_stack(mount, options);
  if (!options.subpath.empty()) {
    if (stack.lower.empty()) {
      throw Error(ErrorKind::invalid_argument,
                  concat("mount ", mount.destination, ": subpath is for layers alone (lowerdir+=)"));
    }
    const UniqueFd part = clone_part_of_stack(stack, options.subpath);
    const UniqueFd place = open_target(root_.get(), mount, is_directory(part.get()));
    set_mount_attributes(part.get(), options.set, 0, MS_PRIVATE, false);
    return attach_mount(part.get(), place.get());
  }
  const bool strict = mount.type == "proc" || mount.type == "sysfs";
  const bool existed = !strict && static_cast<bool>(find_in_root(root_.get(), mount.destination, O_PATH));
  const UniqueFd target =
      strict ? open_strict_target(root_.get(), mount.destination) : open_target(root_.get(), mount, true);
  if (!stack.lower.empty()) {
    const UniqueFd overlay = mount_overlay(stack, target.get());  // layers in any number, on any kernel
    set_mount_attributes(overlay.get(), options.set, 0, MS_PRIVATE, false);
    return;
  }
  MountParameters parameters = complete_parameters(mount, options, target.get(), existed);
  add_mount_label(parameters, mount.type, spec_.linux.mount_label);
  UniqueFd fd = make_mount(mount.type, parameters, options.set);
  label_mount(fd.get(), mount.type, spec_.linux.mount_label);
  if (mount.type == "proc") {
    prove_procfs(fd.get());
    if (!spec_.linux.sysctl.empty()) sysctl_ = open_at(fd.get(), "sys", O_PATH | O_DIRECTORY);
  }
  if (options.copy_up) copy_up(target.get(), fd.get());
  if (options.propagation != 0) {
    set_mount_attributes(fd.get(), 0, 0, options.propagation, options.propagation_recursive);
  }
  attach_mount(fd.get(), target.get());
  if (mount.type == "devpts") devpts_ = std::move(fd);
}

void Rootfs::mount_cgroup(const Mount& mount) {
  if (cgroups_ == nullptr) throw Error(ErrorKind::internal, "no cgroup file system on this host");
  const MountOptions options = parse_mount_options(mount);
  const UniqueFd target = open_target(root_.get(), mount, true);
  if (cgroups_->mode != CgroupMode::v2) return mount_cgroup_v1(mount, target.get());
  UniqueFd tree;
  if (find_namespace(spec_, "cgroup") != nullptr) {
    tree = make_mount("cgroup2", {{"source", "cgroup"}}, options.set);
  } else {
    tree = clone_mount(AT_FDCWD, cgroups_->root, false);
    apply_options(tree.get(), options);
  }
  attach_mount(tree.get(), target.get());
}

/// A tmpfs with one directory per hierarchy, each showing the container's own cgroup as its root.
void Rootfs::mount_cgroup_v1(const Mount& mount, int target) {
  const MountOptions options = parse_mount_options(mount);
  const bool own_namespace = find_namespace(spec_, "cgroup") != nullptr;
  MountParameters parameters = {{"mode", "755"}, {"source", "tmpfs"}};
  add_mount_label(parameters, "tmpfs", spec_.linux.mount_label);
  const UniqueFd tmpfs = make_mount("tmpfs", parameters, options.set & ~std::uint64_t{MOUNT_ATTR_RDONLY});
  attach_mount(tmpfs.get(), target);
  for (const CgroupHierarchy& hierarchy : cgroups_->hierarchies) {
    if (::mkdirat(tmpfs.get(), hierarchy.directory.c_str(), 0755) != 0) throw sys_error("mkdir ", hierarchy.directory);
    const UniqueFd place = open_beneath(tmpfs.get(), hierarchy.directory, O_PATH | O_DIRECTORY);
    UniqueFd tree;
    if (!own_namespace) {
      const std::string path = options_.cgroup != nullptr ? options_.cgroup->path() : "";
      tree = clone_mount(AT_FDCWD, concat(cgroups_->root, "/", hierarchy.directory, path), false);
      set_mount_attributes(tree.get(), options.set, 0, MS_PRIVATE, false);
    } else if (hierarchy.v2) {
      tree = make_mount("cgroup2", {{"source", "cgroup"}}, options.set);
    } else {
      MountParameters parameters;
      if (hierarchy.controllers.front().starts_with("name=")) {
        parameters = {{"none", ""}, {"name", hierarchy.controllers.front().substr(5)}};
      } else {
        for (const std::string& controller : hierarchy.controllers) parameters.emplace_back(controller, "");
      }
      parameters.emplace_back("source", "cgroup");
      tree = make_mount("cgroup", parameters, options.set);
    }
    attach_mount(tree.get(), place.get());
    if (hierarchy.controllers.size() < 2) continue;
    for (const std::string& controller : hierarchy.controllers) {  // cpu -> cpu,cpuacct
      if (::symlinkat(hierarchy.directory.c_str(), tmpfs.get(), controller.c_str()) != 0 && errno != EEXIST) {
        throw sys_error("link ", controller);
      }
    }
  }
  if ((options.set & MOUNT_ATTR_RDONLY) != 0) set_mount_attributes(tmpfs.get(), MOUNT_ATTR_RDONLY, 0, 0, false);
}

Terminal Rootfs::make_terminal() {
  if (!devpts_) throw Error(ErrorKind::invalid_argument, "a terminal needs a devpts mount");
  Terminal terminal = open_terminal(devpts_.get());
  bind_console(root_.get(), terminal.slave.get());
  return terminal;
}

void Rootfs::protect() {
  for (const std::string& path : spec_.linux.readonly_paths) make_read_only(path);
  for (const std::string& path : spec_.linux.masked_paths) mask(path);
  const bool overlay_is_ro = options_.overlay && options_.overlay->read_only;
  if (spec_.root.readonly && !overlay_is_ro) set_mount_attributes(root_.get(), MOUNT_ATTR_RDONLY, 0, 0, false);
}

void Rootfs::make_read_only(const std::string& path) {
  const UniqueFd target = find_in_root(root_.get(), path, O_PATH);
  if (!target) return;
  const UniqueFd tree = clone_mount(target.get(), "", true);
  set_mount_attributes(tree.get(), MOUNT_ATTR_RDONLY, 0, 0, true);
  attach_mount(tree.get(), target.get());
}

void Rootfs::mask(const std::string& path) {
  const UniqueFd target = find_in_root(root_.get(), path, O_PATH);
  if (!target) return;
  if (!is_directory(target.get())) {
    if (!null_device_) null_device_ = open_null_device(O_PATH);
    const UniqueFd tree = clone_mount(null_device_.get(), "", false);
    attach_mount(tree.get(), target.get());
    return;
  }
  if (!empty_directory_) {
    // Attached first and copied later: only attached mounts can be copied on every kernel.
    MountParameters parameters = {{"nr_blocks", "1"}, {"nr_inodes", "1"}, {"mode", "555"}, {"source", "tmpfs"}};
    add_mount_label(parameters, "tmpfs", spec_.linux.mount_label);
    empty_directory_ =
        make_mount("tmpfs", parameters, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    attach_mount(empty_directory_.get(), target.get());
    return;
  }
  const UniqueFd tree = clone_mount(empty_directory_.get(), "", false);
  attach_mount(tree.get(), target.get());
}

void Rootfs::enter() {
  failpoint("rootfs.pivot");
  pivot_to(root_.get(), helper_mount_ ? helper_mount_.get() : -1);
  helper_mount_.reset();
  const std::string& word = spec_.linux.rootfs_propagation;
  if (word.empty() || word == "private" || word == "rprivate") return;
  const unsigned long recursive = word.starts_with("r") ? MS_REC : 0;
  if (::mount(nullptr, "/", nullptr, parse_propagation(word) | recursive, nullptr) != 0) {
    throw sys_error("set the propagation of the rootfs");
  }
}

void write_sysctls(int sysctl_directory, const Spec& spec, SysctlPart part) {
  for (const auto& [key, value] : spec.linux.sysctl) {
    std::string name = key;
    if (name.find('/') == std::string::npos) std::replace(name.begin(), name.end(), '.', '/');
    if (name.starts_with("net/") != (part == SysctlPart::network)) continue;
    if (sysctl_directory < 0)
      throw Error(ErrorKind::invalid_argument, concat("sysctl ", key, " without a /proc mount"));
    try {
      const UniqueFd file = open_beneath(sysctl_directory, name, O_WRONLY);
      if (retry_on_eintr([&] { return ::write(file.get(), value.data(), value.size()); }) < 0) {
        throw sys_error("write sysctl ", key);
      }
    } catch (const Error& error) {
      std::string reason = error.message();
      if (error.errno_value() == ENOENT) reason = "no such file or directory";  // the words that `docker run` looks for
      throw LaunchError(ErrorKind::invalid_argument, concat("open /proc/sys/", name, ": ", reason), 128,
                        error.errno_value());
    }
  }
}

}  // namespace mydocker::runtime
