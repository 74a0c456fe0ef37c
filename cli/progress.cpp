#include "cli/progress.h"

#include <algorithm>
#include <cstdio>

#include "cli/terminal.h"
#include "cli/units.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr std::size_t width_for_a_bar = 110;
constexpr std::size_t bar_columns = 50;

std::string pad_left(const std::string& text, std::size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

}  // namespace

std::string progress_text(const api::ProgressDetail& detail, std::size_t width) {
  if (detail.current <= 0 && detail.total <= 0) return {};
  const std::string current = pad_left(human_size(static_cast<double>(detail.current)), 8);
  if (detail.total <= 0) return current;
  if (detail.current > detail.total) return current;
  const auto filled = static_cast<std::size_t>(static_cast<double>(detail.current) / static_cast<double>(detail.total) *
                                               static_cast<double>(bar_columns));
  std::string bar;
  if (width > width_for_a_bar) {
    const std::size_t empty = bar_columns > filled ? bar_columns - filled : 0;
    bar = concat("[", std::string(filled, '='), ">", std::string(empty, ' '), "] ");
  }
  return concat(bar, current, "/", human_size(static_cast<double>(detail.total)));
}

void ProgressDisplay::write(std::string_view text) const { write_all(fd_, text); }

void ProgressDisplay::show(const api::ProgressMessage& message) {
  if (message.error_detail || !message.error.empty()) {
    throw Error(ErrorKind::internal, message.error_detail ? message.error_detail->message : message.error);
  }
  std::string progress = message.progress;
  if (message.progress_detail) progress = progress_text(*message.progress_detail, on_terminal() ? width_ : 200);
  if (!on_terminal()) {
    if (!progress.empty()) return;
    if (!message.stream.empty()) {
      write(message.stream);
    } else if (!message.status.empty()) {
      write(concat(message.id.empty() ? "" : concat(message.id, ": "), message.status, "\n"));
    }
    return;
  }
  if (!message.stream.empty()) {
    write(message.stream);
    return;
  }
  if (message.status.empty()) return;
  const std::string text =
      concat(message.id.empty() ? "" : concat(message.id, ": "), message.status, progress.empty() ? "" : " ", progress);
  if (message.id.empty() || !message.progress_detail) {
    // A line of its own; lines before it stay where they are.
    if (message.id.empty()) lines_.clear();
    write(concat(text, "\n"));
    return;
  }
  const auto known = lines_.find(message.id);
  if (known == lines_.end()) {
    lines_[message.id] = lines_.size();
    write(concat("\x1b[2K", text, "\n"));
    return;
  }
  const std::size_t up = lines_.size() - known->second;
  write(concat("\x1b[", up, "A\x1b[2K\r", text, "\r\x1b[", up, "B"));
}

void show_progress(ApiStream& stream, int fd, const std::function<void(const json::value&)>& aux) {
  flush_output();
  const auto size = terminal_size(fd);
  ProgressDisplay display(fd, is_terminal(fd) ? std::max<std::size_t>(size ? size->width : 80, 1) : 0);
  JsonSequence sequence;
  for (std::string_view piece = stream.connection.read_body(); !piece.empty(); piece = stream.connection.read_body()) {
    sequence.feed(piece, [&](const json::value& value) {
      const auto message = from_json<api::ProgressMessage>(value);
      if (aux && !message.aux.is_null()) aux(message.aux);
      display.show(message);
    });
  }
}

}  // namespace mydocker::cli
