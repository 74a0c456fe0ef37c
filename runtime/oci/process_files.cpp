#include "runtime/oci/process_files.h"

#include <fcntl.h>

#include <cstdio>
#include <cstdlib>

#include "engine/base/sys.h"

namespace mydocker::oci {
namespace {

constexpr int most_descriptors = 1024;

int parse_count(const std::string& text, std::string_view what) {
  char* end = nullptr;
  const long count = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || count < 0 || count > most_descriptors) {
    throw Error(ErrorKind::invalid_argument, concat("invalid value \"", text, "\" for ", what));
  }
  return static_cast<int>(count);
}

}  // namespace

int count_listen_descriptors() {
  const char* listening = std::getenv("LISTEN_FDS");
  return listening == nullptr ? 0 : parse_count(listening, "LISTEN_FDS");
}

std::vector<int> list_preserved_descriptors(const Arguments& arguments) {
  const int count = parse_count(arguments.get("preserve-fds", "0"), "--preserve-fds") + count_listen_descriptors();
  std::vector<int> fds;
  for (int fd = 3; fd < 3 + count; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) {
      throw Error(ErrorKind::invalid_argument, concat("--preserve-fds: descriptor ", fd, " is not open"));
    }
    fds.push_back(fd);
  }
  return fds;
}

void write_pid_file(const Arguments& arguments, pid_t pid) {
  const std::string path = arguments.get("pid-file");
  if (path.empty()) return;
  const std::string aside = path + ".new";
  {
    const UniqueFd file = open_file(aside, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    write_all(file.get(), std::to_string(pid));
  }
  if (::rename(aside.c_str(), path.c_str()) != 0) throw sys_error("rename ", aside);
}

}  // namespace mydocker::oci
