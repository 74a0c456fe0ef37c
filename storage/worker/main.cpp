// mydocker-worker: one confined job on untrusted files, then the end (storage/worker_protocol.h).

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <new>

#include "engine/base/failpoint.h"
#include "engine/base/mount.h"
#include "engine/base/sys.h"
#include "storage/tar_apply.h"
#include "storage/tar_copy.h"
#include "storage/tar_diff.h"
#include "storage/tar_recipe.h"
#include "storage/worker/confine.h"
#include "storage/worker/container_jobs.h"
#include "storage/worker_protocol.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t output_buffer_bytes = 256 * 1024;

/// Collects small pieces, so that each write(2) is a large one.
class Output {
 public:
  void put(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > output_buffer_bytes) flush();
    if (bytes.size() >= output_buffer_bytes) {
      write_all(STDOUT_FILENO, bytes);
    } else {
      buffer_ += bytes;
    }
  }
  void flush() {
    write_all(STDOUT_FILENO, buffer_);
    buffer_.clear();
  }

 private:
  std::string buffer_;
};

std::size_t read_input(char* buffer, std::size_t size) {
  const ssize_t got = retry_on_eintr([&] { return ::read(STDIN_FILENO, buffer, size); });
  if (got < 0) throw sys_error("read the archive");
  return static_cast<std::size_t>(got);
}

/// Enters the job's directory; what comes back is the only way to it.
UniqueFd enter_own_directory(RootAccess access) {
  UniqueFd root = detach_directory(worker_root, access);
  ::close(worker_root);
  isolate();
  failpoint("worker.isolated");
  enter_mount(root.get());
  return root;
}

void unpack(const WorkerRequest& request, WorkerAnswer& answer) {
  const UniqueFd root = enter_own_directory(RootAccess::writable);
  drop_rights(Rights::unpack, request.limits.worker_memory_bytes, request.limits.file_bytes);
  answer.unpacked = unpack_layer(read_input, root.get(), request.limits);
}

void rebuild(const WorkerRequest& request) {
  const UniqueFd root = enter_own_directory(RootAccess::read_only);
  drop_rights(Rights::read, request.limits.worker_memory_bytes, request.limits.file_bytes);
  Output output;
  rebuild_tar(root.get(), [&output](std::string_view bytes) { output.put(bytes); });
  output.flush();
}

void changes(const WorkerRequest& request) {
  const UniqueFd root = detach_directory(worker_root, RootAccess::read_only);
  ::close(worker_root);
  isolate();
  const UniqueFd lower = request.stack.lower.empty() ? UniqueFd() : mount_stack(request.stack);
  enter_mount(root.get());
  drop_rights(Rights::read_trusted, request.limits.worker_memory_bytes, request.limits.file_bytes);
  Output output;
  find_changes(root.get(), lower.get(), request.limits.name_bytes, [&output](ChangeKind kind, std::string_view path) {
    output.put(concat(static_cast<int>(kind), path));
    output.put(std::string_view("\0", 1));
  });
  output.flush();
}

void diff(const WorkerRequest& request) {
  const UniqueFd root = enter_own_directory(RootAccess::read_only);
  drop_rights(Rights::read_trusted, request.limits.worker_memory_bytes, request.limits.file_bytes);
  Output output;
  write_tree(root.get(), TarForm::layer, request.limits.name_bytes, [&output](std::string_view b) { output.put(b); });
  output.flush();
}

void export_tree(const WorkerRequest& request) {
  ::close(worker_root);
  isolate();
  const UniqueFd root = mount_stack(request.stack);
  pivot_to(root.get());
  drop_rights(Rights::read, request.limits.worker_memory_bytes, request.limits.file_bytes);
  Output output;
  write_tree(root.get(), TarForm::plain, request.limits.name_bytes, [&output](std::string_view b) { output.put(b); });
  output.flush();
}

void size(const WorkerRequest& request, WorkerAnswer& answer) {
  const UniqueFd root = enter_own_directory(RootAccess::read_only);
  drop_rights(Rights::read, request.limits.worker_memory_bytes, request.limits.file_bytes);
  answer.size_bytes = tree_size(root.get());
}

void copy_up(const WorkerRequest& request, WorkerAnswer& answer) {
  const UniqueFd root = detach_directory(worker_root, RootAccess::writable);
  ::close(worker_root);
  isolate();
  const UniqueFd stack = mount_stack(request.stack);
  enter_mount(root.get());
  drop_rights(Rights::copy, request.limits.worker_memory_bytes, request.limits.file_bytes);
  const UniqueFd source = find_in_root(stack.get(), request.source_path, O_RDONLY | O_DIRECTORY);
  if (!source) return;
  copy_tree(source.get(), root.get());
  answer.copied = true;
}

void run(const WorkerRequest& request, WorkerAnswer& answer) {
  const std::string& job = request.job;
  if (job == "unpack") return unpack(request, answer);
  if (job == "rebuild") return rebuild(request);
  if (job == "changes") return changes(request);
  if (job == "diff") return diff(request);
  if (job == "export") return export_tree(request);
  if (job == "size") return size(request, answer);
  if (job == "copy_up") return copy_up(request, answer);
  if (job == "stat") {
    answer.stat = stat_file(request);
    return;
  }
  if (job == "extract") return extract_files(request, read_input);
  if (job == "pack" || job == "read") {
    Output output;
    const OutputSink sink = [&output](std::string_view bytes) { output.put(bytes); };
    job == "pack" ? pack_file(request, sink) : read_small_file(request, sink);
    return output.flush();
  }
  throw Error(ErrorKind::internal, concat("worker: unknown job ", job));
}

WorkerAnswer answer_to(const WorkerRequest& request) {
  WorkerAnswer answer;
  const auto fail = [&answer](ErrorKind kind, std::string message, int errno_value) {
    answer.error = std::move(message);
    answer.error_kind = std::string(to_string(kind));
    answer.errno_value = errno_value;
  };
  try {
    run(request, answer);
  } catch (const Error& error) {
    fail(error.kind(), error.message(), error.errno_value());
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::too_large, "archive or tree needs too much memory", 0);
  } catch (const std::exception& error) {
    fail(ErrorKind::internal, error.what(), 0);
  }
  return answer;
}

int serve() {
  const std::optional<Packet> packet = receive_packet(worker_socket);
  if (!packet) return 1;
  WorkerRequest request;
  read_json(parse_json(packet->data), "", request);
  const WorkerAnswer answer = answer_to(request);
  send_packet(worker_socket, write_json(to_json(answer)));
  return 0;
}

}  // namespace
}  // namespace mydocker::storage

int main() {
  ::umask(0);
  ::signal(SIGPIPE, SIG_IGN);
  ::syscall(SYS_close_range, mydocker::storage::worker_container_root + 1, ~0U, 0);
  try {
    return mydocker::storage::serve();
  } catch (const std::exception&) {
    return 1;  // the store sees the socket close without an answer
  }
}
