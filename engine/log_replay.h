#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/async.h"
#include "engine/base/unique_fd.h"
#include "engine/log_plan.h"
#include "engine/log_reader.h"

/// A container's stored log on its way to a hijacked client (`logs=1` of an attach, WIRE 5).
namespace mydocker::engine {

/// Writes the log from its beginning, and never a byte twice. I/O thread; a client that is slow costs no thread.
class LogReplay {
 public:
  /// `client`: a stream socket, borrowed. `pool` opens and unpacks files.
  LogReplay(asio::thread_pool& pool, ReadableLog log, LogReadOptions options, int client);

  /// Writes what comes before `end`; a later call goes on with a later end. `on_progress` is called after each piece
  /// that the client took. Throws Error{unavailable} when the client is gone or takes nothing for ten minutes.
  awaitable<void> write_until(LogEnd end, std::function<void()> on_progress = {});
  /// To the end that the log has now.
  awaitable<void> write_present();

 private:
  awaitable<void> send(std::string_view data);
  awaitable<void> wait_writable();

  asio::thread_pool& pool_;
  ReadableLog log_;
  LogReadOptions options_;
  int client_;
  std::optional<LogReader> reader_;
};

}  // namespace mydocker::engine
