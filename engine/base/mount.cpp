#include "engine/base/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/sys.h"

namespace mydocker {
namespace {

// Kept out of <sys/mount.h> of glibc 2.36.
constexpr unsigned move_empty_paths = 0x04 /*MOVE_MOUNT_F_EMPTY_PATH*/ | 0x40 /*MOVE_MOUNT_T_EMPTY_PATH*/;
constexpr std::size_t fsconfig_string_limit = 255;  // of kernels before 6.5 or so; longer values are refused there

/// What the file system wrote into its context about a refusal ("overlay: No changes allowed ..."), with ": " before.
std::string context_messages(int context) {
  std::string out;
  char line[512];
  for (int i = 0; i < 8; ++i) {
    const ssize_t count = ::read(context, line, sizeof line);
    if (count <= 0) break;
    std::string_view text(line, static_cast<std::size_t>(count));
    if (text.size() > 2 && text[1] == ' ') text.remove_prefix(2);  // "e message"
    while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    out += concat(": ", text);
  }
  return out;
}

[[noreturn]] void throw_refused(int context, int errno_value, std::string_view step) {
  throw make_sys_error(errno_value, concat(step, context_messages(context)));
}

UniqueFd open_context(const std::string& type) {
  UniqueFd context(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context) throw sys_error("fsopen ", type);
  return context;
}

bool try_configure(int context, const std::string& key, const std::string& value) {
  const int result = value.empty() ? ::fsconfig(context, FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0)
                                   : ::fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0);
  return result == 0;
}

void configure(int context, const std::string& type, const std::string& key, const std::string& value) {
  if (try_configure(context, key, value)) return;
  throw_refused(context, errno, concat("mount ", type, ": option ", key, value.empty() ? "" : "=", value));
}

UniqueFd create_mount(int context, const std::string& type, std::uint64_t attributes) {
  if (::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    throw_refused(context, errno, concat("mount ", type));
  }
  UniqueFd mount(::fsmount(context, FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount) throw_refused(context, errno, concat("fsmount ", type));
  return mount;
}

/// Options that keep every change expressible as a layer: a redirect or a metadata-only copy is not.
constexpr const char* exact_options[] = {"redirect_dir", "index", "metacopy"};

/// An empty handle: this kernel knows no `lowerdir+`.
UniqueFd try_overlay(const OverlayMount& overlay) {
  const UniqueFd context = open_context("overlay");
  for (const std::string& lower : overlay.lower) {
    if (lower.size() > fsconfig_string_limit || !try_configure(context.get(), "lowerdir+", lower)) return {};
  }
  for (const char* option : exact_options) configure(context.get(), "overlay", option, "off");
  if (!overlay.upper.empty()) {
    configure(context.get(), "overlay", "upperdir", overlay.upper);
    configure(context.get(), "overlay", "workdir", overlay.work);
    if (overlay.skip_sync) configure(context.get(), "overlay", "volatile", "");
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    if (errno == EINVAL) return {};
    throw_refused(context.get(), errno, "mount overlay");
  }
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, overlay.read_only ? MOUNT_ATTR_RDONLY : 0U));
  if (!mount) throw_refused(context.get(), errno, "fsmount overlay");
  return mount;
}

/// mount(2) takes one page of options. Directories named by their descriptors, relative to /proc/self/fd, fit into it
/// however many there are (500 is overlayfs' own limit); by their paths fifty layers would not.
UniqueFd mount_overlay_classic(const OverlayMount& overlay, int target) {
  std::vector<UniqueFd> held;
  const auto name_of = [&held](const std::string& path) {
    held.push_back(open_file(path, O_PATH | O_DIRECTORY));
    return std::to_string(held.back().get());
  };
  const UniqueFd names = open_file("/proc/self/fd", O_PATH | O_DIRECTORY);
  if (::fchdir(names.get()) != 0) throw sys_error("chdir /proc/self/fd");
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < overlay.lower.size(); ++i)
    options += concat(i == 0 ? "" : ":", name_of(overlay.lower[i]));
  if (!overlay.upper.empty()) {
    options += concat(",upperdir=", name_of(overlay.upper), ",workdir=", name_of(overlay.work));
    if (overlay.skip_sync) options += ",volatile";
  }
  for (const char* option : exact_options) options += concat(",", option, "=off");
  if (options.size() >= 4096) throw Error(ErrorKind::internal, "mount overlay: too many layers for this kernel");
  const std::string path = concat("/proc/self/fd/", target);
  const unsigned long flags = overlay.read_only ? MS_RDONLY : 0;
  if (::mount("overlay", path.c_str(), "overlay", flags, options.c_str()) != 0) throw sys_error("mount overlay");
  // The descriptor is below the new mount; its path through ".." and back leads onto it only by name, so look again.
  char name[4096];
  const ssize_t length = ::readlink(path.c_str(), name, sizeof name - 1);
  if (length <= 0) throw sys_error("readlink ", path);
  return open_file(std::string(name, static_cast<std::size_t>(length)), O_PATH | O_DIRECTORY);
}

}  // namespace

UniqueFd make_mount(const std::string& type, const MountParameters& parameters, std::uint64_t attributes) {
  const UniqueFd context = open_context(type);
  for (const auto& [key, value] : parameters) configure(context.get(), type, key, value);
  return create_mount(context.get(), type, attributes);
}

UniqueFd mount_overlay(const OverlayMount& overlay, int target) {
  if (overlay.lower.empty()) throw Error(ErrorKind::internal, "mount overlay: no layer");
  if (overlay.upper.empty() && overlay.lower.size() == 1) {  // the kernel wants two layers or an upper
    UniqueFd mount = clone_mount(AT_FDCWD, overlay.lower.front(), false);
    set_mount_attributes(mount.get(), MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, false);
    attach_mount(mount.get(), target);
    return mount;
  }
  UniqueFd mount = try_overlay(overlay);
  if (!mount) return mount_overlay_classic(overlay, target);
  attach_mount(mount.get(), target);
  return mount;
}

UniqueFd clone_mount(int dir, const std::string& path, bool recursive) {
  const unsigned flags =
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
  UniqueFd mount(::open_tree(dir, path.c_str(), flags));
  if (!mount) throw sys_error("open_tree ", path);
  return mount;
}

void set_mount_attributes(int mount, std::uint64_t set, std::uint64_t clear, std::uint64_t propagation,
                          bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
  if (::mount_setattr(mount, "", flags, &attributes, sizeof attributes) != 0) throw sys_error("mount_setattr");
}

void set_mount_id_map(int mount, int user_namespace, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<std::uint64_t>(user_namespace);
  const unsigned flags = AT_EMPTY_PATH | (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
  if (::mount_setattr(mount, "", flags, &attributes, sizeof attributes) != 0) throw sys_error("mount_setattr idmap");
}

void attach_mount(int mount, int target) {
  if (::move_mount(mount, "", target, "", move_empty_paths) != 0) throw sys_error("move_mount");
}

void pivot_to(int root, int helper_mount) {
  // Both names are ".": the old root ends up stacked on the new one and is detached from there (man 2 pivot_root).
  const UniqueFd old_root = open_file("/", O_PATH | O_DIRECTORY);
  if (::fchdir(root) != 0) throw sys_error("fchdir to the new root");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) throw sys_error("pivot_root");
  if (helper_mount >= 0) {  // the peers of its parent have it, too: it goes there as well ...
    if (::fchdir(helper_mount) != 0) throw sys_error("fchdir to the helper mount");
    if (::umount2(".", MNT_DETACH) != 0) throw sys_error("umount of the helper mount");
  }
  if (::fchdir(old_root.get()) != 0) throw sys_error("fchdir to the old root");
  // ... but nothing else of what is still shared with the host may be unmounted there.
  if (::mount(nullptr, ".", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) throw sys_error("make the old root a slave");
  if (::umount2(".", MNT_DETACH) != 0) throw sys_error("umount of the old root");
  if (::chdir("/") != 0) throw sys_error("chdir /");
}

void enter_mount_namespace(int target, int flags, int root) {
  struct stat own{};
  struct stat whole{};
  const UniqueFd ours = open_file("/proc/self/ns/mnt", O_RDONLY);
  if (::stat("/", &own) != 0) throw sys_error("stat /");
  // Entering the namespace that we are in leads to its root, out of a chroot. Who may not do that made no chroot,
  // either.
  const bool looked = ::setns(ours.get(), CLONE_NEWNS) == 0 && ::stat("/", &whole) == 0;
  const bool in_chroot = looked && (own.st_dev != whole.st_dev || own.st_ino != whole.st_ino);
  if (::setns(target, flags) != 0) throw sys_error("enter the container's namespaces");
  if (in_chroot && (::fchdir(root) != 0 || ::chroot(".") != 0)) throw sys_error("enter the container's root");
}

}  // namespace mydocker
