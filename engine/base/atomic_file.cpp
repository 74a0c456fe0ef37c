#include "engine/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "engine/base/sys.h"

namespace mydocker {

void sync_directory(const std::string& path) {
  const UniqueFd dir = open_file(path, O_RDONLY | O_DIRECTORY);
  if (::fsync(dir.get()) != 0) throw sys_error("fsync ", path);
}

void write_file_atomically(const std::string& path, std::string_view content, mode_t mode) {
  const std::string aside = concat(path, ".", random_hex(6), ".tmp");
  try {
    const UniqueFd fd = open_file(aside, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (::fchmod(fd.get(), mode) != 0) throw sys_error("chmod ", aside);
    write_all(fd.get(), content);
    if (::fsync(fd.get()) != 0) throw sys_error("fsync ", aside);
    if (::rename(aside.c_str(), path.c_str()) != 0) throw sys_error("rename ", aside);
  } catch (Error& e) {
    ::unlink(aside.c_str());
    e.add_context(concat("write ", path));
    throw;
  }
  const std::size_t slash = path.find_last_of('/');
  sync_directory(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

}  // namespace mydocker
