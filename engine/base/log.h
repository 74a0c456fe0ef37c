#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

/// The engine's and the shim's own log: one line an event on stderr, constant message, data as pairs, never a secret.
/// `time="2026-01-02T03:04:05.1Z" level=info msg="container started" container=ab12 pid=42`
/// Control bytes from outside are escaped (SECURITY R24). Any thread; a line is one write(2).
namespace mydocker::log {

enum class Level { debug, info, warn, error, off };

/// A pair's value: text or a number.
class Value {
 public:
  Value(std::string_view text) : text_(text) {}
  Value(const char* text) : text_(text) {}
  Value(const std::string& text) : text_(text) {}
  template <typename Integer>
    requires std::is_integral_v<Integer>
  Value(Integer number) : text_(std::to_string(number)) {}
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

using Pairs = std::initializer_list<std::pair<std::string_view, Value>>;

/// Below this level nothing is written. Set once at start (default info).
void set_level(Level level);
/// Writes to this descriptor from now on instead of 2; it must outlive every writer.
void set_output(int fd);
/// Throws Error{invalid_argument}: "debug", "info", "warn", "error", "fatal".
Level parse_level(std::string_view word);

void debug(std::string_view message, Pairs pairs = {});
void info(std::string_view message, Pairs pairs = {});
void warn(std::string_view message, Pairs pairs = {});
void error(std::string_view message, Pairs pairs = {});

/// One quoted or bare token, control bytes escaped: for whoever prints text from outside.
std::string escape(std::string_view text);

}  // namespace mydocker::log
