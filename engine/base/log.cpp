#include "engine/base/log.h"

#include <unistd.h>

#include <atomic>

#include "engine/base/error.h"
#include "engine/base/time.h"

namespace mydocker::log {
namespace {

// The level and the output are set once by main; a logger passed through every call would say no more.
std::atomic<Level> threshold{Level::info};
std::atomic<int> output{2};

void write_line(Level level, std::string_view name, std::string_view message, Pairs pairs) {
  if (level < threshold.load(std::memory_order_relaxed)) return;
  std::string line = concat("time=\"", to_rfc3339(now()), "\" level=", name, " msg=", escape(message));
  for (const auto& [key, value] : pairs) line += concat(" ", key, "=", escape(value.text()));
  line += "\n";
  // A log that cannot be written must not stop the engine.
  [[maybe_unused]] const ssize_t done = ::write(output.load(std::memory_order_relaxed), line.data(), line.size());
}

}  // namespace

void set_level(Level level) { threshold.store(level); }
void set_output(int fd) { output.store(fd); }

Level parse_level(std::string_view word) {
  if (word == "debug" || word == "trace") return Level::debug;
  if (word == "info") return Level::info;
  if (word == "warn" || word == "warning") return Level::warn;
  if (word == "error") return Level::error;
  if (word == "fatal" || word == "panic") return Level::off;
  throw Error(ErrorKind::invalid_argument, concat("invalid logging level: ", word));
}

std::string escape(std::string_view text) {
  bool bare = !text.empty();
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' ||
        static_cast<unsigned char>(c) >= 0x7f) {
      bare = false;
    }
  }
  if (bare) return std::string(text);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < ' ' || byte == 0x7f || (byte >= 0x80 && byte < 0xa0)) {
      out += "\\x";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void debug(std::string_view message, Pairs pairs) { write_line(Level::debug, "debug", message, pairs); }
void info(std::string_view message, Pairs pairs) { write_line(Level::info, "info", message, pairs); }
void warn(std::string_view message, Pairs pairs) { write_line(Level::warn, "warning", message, pairs); }
void error(std::string_view message, Pairs pairs) { write_line(Level::error, "error", message, pairs); }

}  // namespace mydocker::log
