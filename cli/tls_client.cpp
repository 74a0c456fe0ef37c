#include "cli/tls_client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "engine/base/process.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

std::string helper_program() {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (size <= 0) throw sys_error("readlink /proc/self/exe");
  const std::string self(path.data(), static_cast<std::size_t>(size));
  return self.substr(0, self.rfind('/') + 1) + "mydocker-tls";
}

std::string read_to_end(int fd) {
  std::string out;
  std::array<char, 512> part{};
  for (ssize_t got = 0; (got = retry_on_eintr([&] { return ::read(fd, part.data(), part.size()); })) > 0;) {
    out.append(part.data(), static_cast<std::size_t>(got));
  }
  return out;
}

}  // namespace

UniqueFd begin_tls(UniqueFd socket, const std::string& host, const TlsSettings& settings) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  Pipe status = make_pipe();
  SpawnOptions options;
  options.program = helper_program();
  options.arguments = {"mydocker-tls",       host,        settings.verify ? "verify" : "trust", settings.ca,
                       settings.certificate, settings.key};
  options.fds = {{socket.get(), 0}, {theirs.get(), 1}, {status.write.get(), 2}};
  Process helper = Process::spawn(options);
  socket.reset();
  theirs.reset();
  status.write.reset();
  const std::string failure = read_to_end(status.read.get());
  if (!failure.empty()) throw Error(ErrorKind::unavailable, concat("error during connect: ", failure));
  static_cast<void>(helper.release());  // it ends with the connection
  return std::move(ours);
}

}  // namespace mydocker::cli
