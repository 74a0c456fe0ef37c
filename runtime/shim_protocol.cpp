#include "runtime/shim_protocol.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cstring>

#include "engine/base/sys.h"

namespace mydocker {
namespace {

/// What StreamChoice is on the wire: JSON has no byte strings.
struct WireStreams {
  bool in = false;
  bool out = false;
  bool err = false;
  bool framed = false;
  std::string detach_keys_hex;
  std::string pending_input_hex;
  std::string session_id;

  static constexpr auto json_fields() {
    return std::tuple(field("stdin", &WireStreams::in), field("stdout", &WireStreams::out),
                      field("stderr", &WireStreams::err), field("framed", &WireStreams::framed),
                      field_omit_empty("detach_keys", &WireStreams::detach_keys_hex),
                      field_omit_empty("pending_input", &WireStreams::pending_input_hex),
                      field_omit_empty("session_id", &WireStreams::session_id));
  }
};

std::string bytes_to_hex(const std::string& bytes) {
  return to_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

std::string hex_to_bytes(const std::string& hex, const std::string& path) {
  const auto digit = [&](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    json_detail::throw_expected(path, "hex digits");
  };
  if (hex.size() % 2 != 0) json_detail::throw_expected(path, "hex digits");
  std::string out(hex.size() / 2, '\0');
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<char>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
  }
  return out;
}

}  // namespace

void JsonCodec<runtime::StreamChoice>::read(const json::value& value, const std::string& path,
                                            runtime::StreamChoice& out) {
  WireStreams wire;
  read_json(value, path, wire);
  out = {.stdin_ = wire.in,
         .stdout_ = wire.out,
         .stderr_ = wire.err,
         .framed = wire.framed,
         .detach_keys = hex_to_bytes(wire.detach_keys_hex, path),
         .pending_input = hex_to_bytes(wire.pending_input_hex, path),
         .session_id = std::move(wire.session_id)};
}

json::value JsonCodec<runtime::StreamChoice>::write(const runtime::StreamChoice& value) {
  return to_json(WireStreams{.in = value.stdin_,
                             .out = value.stdout_,
                             .err = value.stderr_,
                             .framed = value.framed,
                             .detach_keys_hex = bytes_to_hex(value.detach_keys),
                             .pending_input_hex = bytes_to_hex(value.pending_input),
                             .session_id = value.session_id});
}

}  // namespace mydocker

namespace mydocker::runtime {
namespace {

constexpr int required_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

/// What stands in a memfd message. Only sealed memory is read: nobody can change it or cut it off under our reading.
std::string read_sealed(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & required_seals) != required_seals) {
    throw Error(ErrorKind::invalid_argument, "shim message: the descriptor is no sealed memory");
  }
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw sys_error("fstat memfd");
  if (status.st_size < 0 || static_cast<std::size_t>(status.st_size) > max_shim_message) {
    throw Error(ErrorKind::invalid_argument, "shim message: longer than 16 MiB");
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got =
        retry_on_eintr([&] { return ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done)); });
    if (got <= 0) throw sys_error("read memfd");
    done += static_cast<std::size_t>(got);
  }
  return text;
}

bool send_bytes(int socket, std::string_view data, std::span<const int> fds) {
  try {
    return try_send_packet(socket, data, fds, MSG_DONTWAIT);
  } catch (const Error& error) {
    throw Error(ErrorKind::unavailable, concat("shim connection: ", errno_text(error.errno_value())),
                error.errno_value());
  }
}

/// The fields of an error on the wire.
struct WireError {
  std::string kind;
  std::string message;
  int errno_value = 0;
  int exit_code = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("kind", &WireError::kind), field("message", &WireError::message),
                      field_omit_empty("errno", &WireError::errno_value),
                      field_omit_empty("exit_code", &WireError::exit_code));
  }
};

}  // namespace

std::optional<ExitRecord> find_exit_record(const std::string& path) {
  const std::optional<std::string> text = find_file_at(AT_FDCWD, path, std::size_t{1} << 16);
  if (!text) return std::nullopt;
  return from_json<ExitRecord>(parse_json(*text), path);
}

bool send_shim_message(int socket, const json::object& body, std::span<const int> fds) {
  const std::string text = write_json(body);
  if (text.size() <= max_inline_packet) return send_bytes(socket, text, fds);
  const UniqueFd memory = make_memfd("shim-message", text);
  std::vector<int> all{memory.get()};
  all.insert(all.end(), fds.begin(), fds.end());
  return send_bytes(socket, R"({"memfd":true})", all);
}

Received receive_shim_message(int socket, ShimMessage& out) {
  // The length first (MSG_PEEK|MSG_TRUNC), so that a short packet needs no buffer of the largest size.
  char probe = 0;
  const ssize_t length = retry_on_eintr([&] { return ::recv(socket, &probe, 1, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT); });
  if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Received::would_block;
  if (length <= 0) return Received::closed;

  std::string text(std::min(static_cast<std::size_t>(length), max_inline_packet), '\0');
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * (max_packet_fds + 1))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = retry_on_eintr([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT); });
  if (got <= 0) return Received::closed;
  out.fds.clear();
  take_descriptors(message, out.fds);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    out.fds.clear();
    throw Error(ErrorKind::invalid_argument, "shim message: packet too large");
  }
  text.resize(static_cast<std::size_t>(got));

  json::value value = parse_json(text);
  if (value.is_object() && value.get_object().contains("memfd")) {
    if (out.fds.empty()) throw Error(ErrorKind::invalid_argument, "shim message: its memory is missing");
    const UniqueFd memory = std::move(out.fds.front());
    out.fds.erase(out.fds.begin());
    value = parse_json(read_sealed(memory.get()));
  }
  if (!value.is_object()) throw Error(ErrorKind::invalid_argument, "shim message: expected an object");
  out.body = std::move(value.get_object());
  return Received::message;
}

json::object make_error_object(const Error& error) {
  const auto* launch = dynamic_cast<const LaunchError*>(&error);
  json::value value = to_json(WireError{.kind = std::string(to_string(error.kind())),
                                        .message = error.message(),
                                        .errno_value = error.errno_value(),
                                        .exit_code = launch != nullptr ? launch->exit_code() : 0});
  return std::move(value.get_object());
}

void throw_error_object(const json::value& object) {
  const auto error = from_json<WireError>(object, "error");
  const ErrorKind kind = parse_error_kind(error.kind);
  if (error.exit_code != 0) throw LaunchError(kind, error.message, error.exit_code, error.errno_value);
  throw Error(kind, error.message, error.errno_value);
}

}  // namespace mydocker::runtime
