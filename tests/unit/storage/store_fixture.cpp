#include "tests/unit/storage/store_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "engine/base/process.h"
#include "engine/base/sys.h"

namespace mydocker::storage::test {

WorkerOptions worker_options(UnpackLimits limits) {
  WorkerOptions options;
  options.program = MYDOCKER_WORKER_PROGRAM;
  options.limits = limits;
  return options;
}

void StoreFixture::SetUp() {
  REQUIRE_ROOT();
  REQUIRE_NAMESPACES();
  paths.prepare();
  database = std::make_unique<Database>(paths.state_db());
  store = std::make_unique<LayerStore>(*database, paths, worker_options());
}

Layer StoreFixture::add_layer(std::string_view tar, const Digest& parent, std::string_view owner) {
  const std::unique_ptr<LayerWriter> writer = store->begin();
  writer->write(tar);
  return writer->commit(parent, {}, owner);
}

std::string StoreFixture::read_tar(const Digest& chain_id) {
  Pipe pipe = make_pipe();
  std::string out;
  std::thread reader([&] { out = read_all(pipe.read.get(), std::size_t{4} << 30, "pipe"); });
  try {
    store->read_tar(chain_id, pipe.write.get());
  } catch (...) {
    pipe.write.reset();
    reader.join();
    throw;
  }
  pipe.write.reset();
  reader.join();
  return out;
}

std::string StoreFixture::in_tree(const Layer& layer, std::string_view path) const {
  return concat(paths.layer_tree(layer.chain_id), "/", path);
}

std::vector<std::string> StoreFixture::leftovers() {
  store->wait_for_deletions();
  return names_in(paths.tmp());
}

std::string describe(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return "absent";
  const char* type = S_ISREG(status.st_mode)    ? "file"
                     : S_ISDIR(status.st_mode)  ? "directory"
                     : S_ISLNK(status.st_mode)  ? "symlink"
                     : S_ISCHR(status.st_mode)  ? "character"
                     : S_ISBLK(status.st_mode)  ? "block"
                     : S_ISFIFO(status.st_mode) ? "fifo"
                                                : "other";
  char text[128];
  std::snprintf(text, sizeof text, "%s %04o %u:%u", type, status.st_mode & 07777, status.st_uid, status.st_gid);
  std::string out = text;
  if (S_ISREG(status.st_mode)) out += " " + std::to_string(status.st_size);
  if (S_ISLNK(status.st_mode)) {
    std::string target(static_cast<std::size_t>(status.st_size), '\0');
    if (::readlink(path.c_str(), target.data(), target.size()) < 0) return "unreadable";
    out += " " + target;
  }
  return out;
}

std::string xattr_of(const std::string& path, const char* name) {
  std::string value(4096, '\0');
  const ssize_t length = ::lgetxattr(path.c_str(), name, value.data(), value.size());
  if (length < 0) return "absent";
  value.resize(static_cast<std::size_t>(length));
  return value;
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string content_of(const std::string& path) { return read_file(path, std::size_t{1} << 30); }

std::string run(const std::vector<std::string>& command) {
  Pipe pipe = make_pipe();
  SpawnOptions options;
  options.program = mydocker::test::find_program(command.front());
  options.arguments = command;
  options.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  options.fds = {{pipe.write.get(), 1}, {2, 2}};
  Process process = Process::spawn(options);
  pipe.write.reset();
  std::string out = read_all(pipe.read.get(), std::size_t{4} << 30, command.front());
  const ExitStatus status = process.wait();
  if (!status.success()) throw Error(ErrorKind::internal, concat(command.front(), " failed"));
  return out;
}

std::string run_in_stack(const OverlayMount& stack, const std::string& script) {
  const mydocker::test::TempTree mount_point;
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < stack.lower.size(); ++i) options += (i == 0 ? "" : ":") + stack.lower[i];
  if (!stack.upper.empty()) options += ",upperdir=" + stack.upper + ",workdir=" + stack.work;
  return run({"unshare", "-m", "sh", "-e", "-c",
              concat("mount -t overlay overlay -o ", options, " ", mount_point.path(), "; cd ", mount_point.path(),
                     "; ", script)});
}

}  // namespace mydocker::storage::test
