#include "runtime/sync.h"

#include <unistd.h>

#include <tuple>

#include "engine/base/json.h"
#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

struct ErrorMessage {
  std::string kind;
  std::string message;
  int errno_value = 0;
  int exit_code = 128;

  static constexpr auto json_fields() {
    return std::tuple(field("kind", &ErrorMessage::kind), field("message", &ErrorMessage::message),
                      field("errno", &ErrorMessage::errno_value), field("exit_code", &ErrorMessage::exit_code));
  }
};

ErrorMessage describe(const std::exception& error) {
  ErrorMessage out{std::string(to_string(ErrorKind::internal)), error.what(), 0, 128};
  if (const auto* ours = dynamic_cast<const Error*>(&error)) {
    out.kind = to_string(ours->kind());
    out.errno_value = ours->errno_value();
  }
  if (const auto* launch = dynamic_cast<const LaunchError*>(&error)) out.exit_code = launch->exit_code();
  return out;
}

[[noreturn]] void throw_received(std::string_view text) {
  const auto message = from_json<ErrorMessage>(parse_json(text));
  throw LaunchError(parse_error_kind(message.kind), message.message, message.exit_code, message.errno_value);
}

}  // namespace

void SyncSocket::send(Sync word, int fd) {
  const char letter = static_cast<char>(word);
  if (fd >= 0) {
    send_packet(fd_.get(), std::string_view(&letter, 1), std::span<const int>(&fd, 1));
  } else {
    send_packet(fd_.get(), std::string_view(&letter, 1));
  }
}

void SyncSocket::send_error(const std::exception& error) noexcept {
  try {
    const std::string text = static_cast<char>(Sync::error) + write_json(to_json(describe(error)));
    retry_on_eintr([&] { return ::write(fd_.get(), text.data(), text.size()); });
  } catch (...) {  // out of memory: the peer sees the end of the stream
  }
}

std::optional<SyncMessage> SyncSocket::receive() {
  std::optional<Packet> packet;
  try {
    packet = receive_packet(fd_.get());
  } catch (const Error& error) {
    if (error.errno_value() == ECONNRESET) return std::nullopt;
    throw;
  }
  if (!packet || packet->data.empty()) return std::nullopt;
  SyncMessage message;
  message.word = static_cast<Sync>(packet->data.front());
  if (message.word == Sync::error) throw_received(std::string_view(packet->data).substr(1));
  if (!packet->fds.empty()) message.fd = std::move(packet->fds.front());
  return message;
}

void SyncSocket::expect_under_filter(Sync word) {
  char letter = 0;
  const ssize_t got = retry_on_eintr([&] { return ::read(fd_.get(), &letter, 1); });
  if (got != 1 || letter != static_cast<char>(word)) {
    throw Error(ErrorKind::internal, "nobody has taken the seccomp listener");
  }
}

void SyncSocket::expect(Sync word) {
  const std::optional<SyncMessage> message = receive();
  if (!message) throw Error(ErrorKind::internal, "the other side of the container start is gone");
  if (message->word != word) {
    throw Error(ErrorKind::internal,
                concat("the container start is out of step: got '", static_cast<char>(message->word), "' instead of '",
                       static_cast<char>(word), "'"));
  }
}

}  // namespace mydocker::runtime
