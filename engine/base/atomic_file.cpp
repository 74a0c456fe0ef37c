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

namespace {

enum class Wait { for_disk, no };

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

void write_aside_and_rename(const std::string& path, std::string_view content, mode_t mode, Wait wait) {
  const std::string aside = concat(path, ".", random_hex(6), ".tmp");
  try {
    const UniqueFd fd = open_file(aside, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (::fchmod(fd.get(), mode) != 0) throw sys_error("chmod ", aside);
    write_all(fd.get(), content);
    if (wait == Wait::for_disk && ::fsync(fd.get()) != 0) throw sys_error("fsync ", aside);
    if (::rename(aside.c_str(), path.c_str()) != 0) throw sys_error("rename ", aside);
  } catch (Error& e) {
    ::unlink(aside.c_str());
    e.add_context(concat("write ", path));
    throw;
  }
}

}  // namespace

void write_file_atomically(const std::string& path, std::string_view content, mode_t mode) {
  write_aside_and_rename(path, content, mode, Wait::for_disk);
  sync_directory(parent_of(path));
}

void replace_file(const std::string& path, std::string_view content, mode_t mode) {
  write_aside_and_rename(path, content, mode, Wait::no);
}

void make_durable(const std::string& path) {
  const UniqueFd fd = find_at(AT_FDCWD, path, O_RDONLY);
  if (!fd) return;
  if (::fsync(fd.get()) != 0) throw sys_error("fsync ", path);
  const UniqueFd directory = find_at(AT_FDCWD, parent_of(path), O_RDONLY | O_DIRECTORY);
  if (directory && ::fsync(directory.get()) != 0) throw sys_error("fsync directory of ", path);
}

}  // namespace mydocker
