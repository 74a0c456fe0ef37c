#include <cerrno>

#include "runtime/seccomp.h"

/// The table of SECURITY 6.4: every call that was known when it was made, by name. What is not in it is newer and gets
/// ENOSYS.
namespace mydocker::runtime {
namespace {

/// No capability needed. Among them what takes a filter of its own further down: clone, clone3, personality, socket.
constexpr std::string_view allowed_calls =
    "_llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod "
    "chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 "
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark "
    "fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr "
    "file_setattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync "
    "ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat "
    "get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid "
    "getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom "
    "getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid "
    "gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch "
    "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get "
    "ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr "
    "link linkat listen listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise "
    "map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall "
    "mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 "
    "mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall "
    "munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 "
    "pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 "
    "process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 "
    "read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages "
    "removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending "
    "rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
    "rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 "
    "send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid "
    "setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid "
    "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid "
    "setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask "
    "sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range "
    "syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
    "timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
    "timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime "
    "utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev "
    // 32-bit ABIs only
    "sigaction signal sigpending sigsuspend readdir";

/// Known, and never allowed.
constexpr std::string_view denied_calls =
    "_sysctl add_key afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle io_uring_enter "
    "io_uring_register io_uring_setup kexec_file_load kexec_load keyctl lock migrate_pages move_pages mpx nfsservctl "
    "nice oldfstat oldlstat oldolduname oldstat olduname pivot_root prof profil putpmsg query_module request_key "
    "security sgetmask ssetmask stty swapoff swapon sysfs tuxcall ulimit uprobe uselib userfaultfd ustat vm86 vm86old "
    "vserver";

/// Allowed when the container has one of the capabilities, else EPERM.
struct Conditional {
  std::string_view calls;
  std::string_view capability;
  std::string_view alternative = {};
};
constexpr Conditional conditional_calls[] = {
    {"bpf", "SYS_ADMIN", "BPF"},
    {"perf_event_open", "SYS_ADMIN", "PERFMON"},
    {"syslog", "SYS_ADMIN", "SYSLOG"},
    {"fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie lsm_get_self_attr lsm_list_modules "
     "lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr quotactl quotactl_fd setdomainname "
     "sethostname setns statmount umount umount2 unshare",
     "SYS_ADMIN"},
    {"reboot", "SYS_BOOT"},
    {"chroot", "SYS_CHROOT"},
    {"delete_module finit_module init_module", "SYS_MODULE"},
    {"acct", "SYS_PACCT"},
    {"kcmp pidfd_getfd process_madvise", "SYS_PTRACE"},
    {"ioperm iopl", "SYS_RAWIO"},
    {"clock_settime clock_settime64 settimeofday stime", "SYS_TIME"},
    {"vhangup", "SYS_TTY_CONFIG"},
    {"get_mempolicy mbind set_mempolicy set_mempolicy_home_node", "SYS_NICE"},
    {"open_by_handle_at", "DAC_READ_SEARCH"},
};

/// Personalities that switch no protection off.
constexpr std::uint64_t allowed_personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
/// CLONE_NEW* without CLONE_NEWTIME, which clone(2) cannot ask for.
constexpr std::uint64_t clone_namespace_flags = 0x7E020000;

std::vector<std::string> split(std::string_view words) {
  std::vector<std::string> out;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    if (end > 0) out.emplace_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return out;
}

bool has_named(CapabilityMask bounding, std::string_view name) {
  const auto number = name.empty() ? std::nullopt : find_capability(name);
  return number && has_capability(bounding, *number);
}

SeccompRule make_allow(std::vector<std::string> names, std::vector<SeccompArgument> arguments = {}) {
  return {std::move(names), "SCMP_ACT_ALLOW", std::nullopt, std::move(arguments)};
}

SeccompRule make_deny(std::vector<std::string> names, std::uint32_t errno_value) {
  return {std::move(names), "SCMP_ACT_ERRNO", errno_value, {}};
}

void add_filtered_calls(std::vector<SeccompRule>& rules, bool admin) {
  if (admin) {
    rules.push_back(make_allow({"clone", "clone3"}));
  } else {
    rules.push_back(make_allow({"clone"}, {{0, clone_namespace_flags, 0, "SCMP_CMP_MASKED_EQ"}}));
    // Its flags are in memory, out of a filter's sight; the C library then takes clone.
    rules.push_back(make_deny({"clone3"}, ENOSYS));
  }
  for (const std::uint64_t value : allowed_personalities) {
    rules.push_back(make_allow({"personality"}, {{0, value, 0, "SCMP_CMP_EQ"}}));
  }
  // All families but AF_ALG (38) and AF_VSOCK (40).
  rules.push_back(make_allow({"socket"}, {{0, 38, 0, "SCMP_CMP_LT"}}));
  rules.push_back(make_allow({"socket"}, {{0, 39, 0, "SCMP_CMP_EQ"}}));
  rules.push_back(make_allow({"socket"}, {{0, 40, 0, "SCMP_CMP_GT"}}));
}

}  // namespace

Seccomp make_default_seccomp(CapabilityMask bounding) {
  Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ERRNO";
  seccomp.default_errno_ret = ENOSYS;
#if defined(__x86_64__)
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
  seccomp.architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#endif
  std::vector<std::string> allowed = split(allowed_calls);
  std::vector<std::string> denied = split(denied_calls);
  for (const Conditional& group : conditional_calls) {
    const bool has = has_named(bounding, group.capability) || has_named(bounding, group.alternative);
    for (std::string& name : split(group.calls)) (has ? allowed : denied).push_back(std::move(name));
  }
  seccomp.syscalls.push_back(make_allow(std::move(allowed)));
  add_filtered_calls(seccomp.syscalls, has_named(bounding, "SYS_ADMIN"));
  // With other arguments than the allowed ones they are refused as what is known, not as what is unknown: nobody falls
  // back from clone(2) as a C library falls back from clone3(2).
  denied.insert(denied.end(), {"clone", "personality", "socket"});
  seccomp.syscalls.push_back(make_deny(std::move(denied), EPERM));
  return seccomp;
}

}  // namespace mydocker::runtime
