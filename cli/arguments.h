#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

/// Command lines described by tables, with Docker's (pflag's) grammar and messages. Pure.
namespace mydocker::cli {

enum class FlagKind {
  boolean,  ///< --rm, --rm=false
  single,   ///< the last one wins
  list,     ///< repeatable
};

/// Throws Error when a value cannot be one of its type: "invalid size: 'x'".
using FlagCheck = void (*)(std::string_view value);

struct Flag {
  std::string_view name;
  char shorthand = 0;
  FlagKind kind = FlagKind::single;
  std::string_view type;  ///< shown in help: "string", "bytes", "list"
  std::string_view help;
  FlagCheck check = nullptr;
  bool hidden = false;
};

/// What a command line said.
struct Arguments {
  std::map<std::string, std::vector<std::string>, std::less<>> values;
  std::vector<std::string> positionals;
  bool help = false;

  bool has(std::string_view name) const { return values.find(name) != values.end(); }
  /// The last value, or `otherwise`.
  std::string text(std::string_view name, std::string_view otherwise = "") const;
  std::vector<std::string> list(std::string_view name) const;
  bool enabled(std::string_view name, bool otherwise = false) const;
  /// For flags checked by check_int.
  std::int64_t integer(std::string_view name, std::int64_t otherwise = 0) const;
};

/// A command line that cannot be understood: exit code 125 and the usage line.
class UsageError : public Error {
 public:
  explicit UsageError(std::string message) : Error(ErrorKind::invalid_argument, std::move(message)) {}
};

enum class Grammar {
  mixed,       ///< flags may follow positionals
  flags_first  ///< everything behind the first positional belongs to it (run, exec, create)
};

/// Throws UsageError in pflag's words: `unknown flag: --x`, `flag needs an argument: 'e' in -e`,
/// `invalid argument "x" for "-m, --memory" flag: invalid size: 'x'`.
Arguments parse_arguments(std::span<const Flag> flags, std::vector<std::string> words, Grammar grammar);

// Checks for tables.
void check_bool(std::string_view value);
void check_int(std::string_view value);
void check_uint(std::string_view value);
void check_uint16(std::string_view value);
void check_bytes(std::string_view value);
void check_duration(std::string_view value);
void check_filter(std::string_view value);
/// Go's strconv.ParseBool; throws its error.
bool parse_bool(std::string_view text);

}  // namespace mydocker::cli
