#include "runtime/oci/seal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/mount.h"
#include "engine/base/sys.h"

namespace mydocker::oci {
namespace {

constexpr int all_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

bool is_protected(int self) {
  struct statvfs mount{};
  if (::fstatvfs(self, &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0) return true;
  const int seals = ::fcntl(self, F_GET_SEALS);  // fails on an ordinary file
  return seals >= 0 && (seals & all_seals) == all_seals;
}

/// A descriptor of the own file through a read-only mount that is in nobody's tree; empty without the right to mount.
UniqueFd make_read_only_clone(int self) {
  try {
    const UniqueFd mount = clone_mount(self, "", false);
    set_mount_attributes(mount.get(), MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, false);
    return open_file(concat("/proc/self/fd/", mount.get()), O_RDONLY);
  } catch (const Error&) {
    return {};
  }
}

UniqueFd make_sealed_copy(int source) {
  UniqueFd copy(::memfd_create("mydocker-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) throw sys_error("memfd_create");
  struct stat status{};
  if (::fstat(source, &status) != 0) throw sys_error("fstat of the own program");
  off_t done = 0;
  while (done < status.st_size) {
    const ssize_t count = ::sendfile(copy.get(), source, &done, static_cast<std::size_t>(status.st_size - done));
    if (count <= 0) throw sys_error("copy the own program");
  }
  if (::fcntl(copy.get(), F_ADD_SEALS, all_seals) != 0) throw sys_error("seal the own program");
  return copy;
}

}  // namespace

void run_from_sealed_copy(char** arguments, char** environment) {
  const UniqueFd self = open_file("/proc/self/exe", O_RDONLY);
  if (is_protected(self.get())) return;
  if (const UniqueFd clone = make_read_only_clone(self.get()); clone && is_protected(clone.get())) {
    ::fexecve(clone.get(), arguments, environment);
  }
  const UniqueFd copy = make_sealed_copy(self.get());
  ::fexecve(copy.get(), arguments, environment);
  throw sys_error("execute the sealed copy");
}

}  // namespace mydocker::oci
