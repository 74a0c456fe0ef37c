#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>

#include "cli/units.h"
#include "engine/base/template/template.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using text_template::go_quote;

[[noreturn]] void fail_value(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

template <typename Integer>
void check_integer(std::string_view function, std::string_view value) {
  Integer number{};
  std::string_view digits = value;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failure == std::errc::result_out_of_range) {
    fail_value(concat("strconv.", function, ": parsing ", go_quote(value), ": value out of range"));
  }
  if (failure != std::errc{} || end != digits.data() + digits.size() || digits.empty()) {
    fail_value(concat("strconv.", function, ": parsing ", go_quote(value), ": invalid syntax"));
  }
}

std::string display_name(const Flag& flag) {
  return flag.shorthand != 0 ? concat("-", flag.shorthand, ", --", flag.name) : concat("--", flag.name);
}

std::string option_names(const Flag& flag) {
  return flag.shorthand != 0 ? concat("-", flag.shorthand, ",--", flag.name) : concat("--", flag.name);
}

// CLI11 compares every new option with all before it: only what the command line can mean is registered.
bool may_be_meant(const Flag& flag, const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    if (word.size() < 2 || word[0] != '-') return false;
    if (word[1] != '-') return flag.shorthand != 0 && word.find(flag.shorthand) != std::string::npos;
    const std::string_view name = std::string_view(word).substr(2, word.find('=') - 2);
    return name == flag.name;
  });
}

std::string missing_value_text(const std::vector<std::string>& words) {
  const std::string last = words.empty() ? "" : words.back();
  if (last.starts_with("--")) return concat("flag needs an argument: ", last);
  return concat("flag needs an argument: '", last.empty() ? '?' : last.back(), "' in -",
                last.empty() ? '?' : last.back());
}

std::string unknown_flag_text(std::string_view word) {
  if (word.starts_with("--")) return concat("unknown flag: ", word.substr(0, word.find('=')));
  return concat("unknown shorthand flag: '", word.substr(1, 1), "' in ", word);
}

void check_values(const Flag& flag, const std::vector<std::string>& values) {
  const FlagCheck check = flag.kind == FlagKind::boolean ? check_bool : flag.check;
  if (check == nullptr) return;
  for (const std::string& value : values) {
    try {
      check(value);
    } catch (const Error& error) {
      throw UsageError(concat("invalid argument ", go_quote(value), " for ", go_quote(display_name(flag)),
                              " flag: ", error.message()));
    }
  }
}

// Three spellings that CLI11 reads otherwise than pflag: `--env=` (empty value), `-e=x` (the value is x), `-i=false`.
// Marks keep them apart, and are taken out of whatever comes back, wherever it stood.
constexpr char short_equals = '\x01';
constexpr char empty_value = '\x02';

std::string mark(std::string word, std::span<const Flag> flags) {
  if (word.size() < 3 || word[0] != '-') return word;
  const std::size_t equals = word.find('=');
  if (word[1] == '-') return equals + 1 == word.size() ? word + empty_value : word;
  if (equals == std::string::npos || equals < 2) return word;
  const auto find_flag = [&](char shorthand) {
    return std::find_if(flags.begin(), flags.end(), [&](const Flag& flag) { return flag.shorthand == shorthand; });
  };
  for (std::size_t at = 1; at < equals; ++at) {
    const auto flag = find_flag(word[at]);
    if (flag == flags.end()) return word;
    const bool last = at + 1 == equals;
    if (flag->kind != FlagKind::boolean) {
      if (last) word[equals] = short_equals;
      return word;
    }
    if (last && equals == 2) return concat("--", flag->name, word.substr(equals));
  }
  return word;
}

std::string unmark(std::string word) {
  std::erase(word, empty_value);
  if (word.starts_with(short_equals)) word.erase(0, 1);
  std::replace(word.begin(), word.end(), short_equals, '=');
  return word;
}

bool is_flag_word(std::string_view word) { return word.size() > 1 && word[0] == '-'; }

}  // namespace

Arguments parse_arguments(std::span<const Flag> flags, std::vector<std::string> words, Grammar grammar) {
  // A bare -- ends the flags; with flags_first CLI11 would take it for the first positional.
  std::vector<std::string> behind;
  if (grammar == Grammar::flags_first) {
    if (!words.empty() && words.front() == "--") {
      behind.assign(words.begin() + 1, words.end());
      words.clear();
    }
  } else if (const auto end = std::find(words.begin(), words.end(), "--"); end != words.end()) {
    behind.assign(end + 1, words.end());
    words.erase(end, words.end());
  }

  for (std::string& word : words) word = mark(std::move(word), flags);
  CLI::App app;
  app.set_help_flag();
  if (grammar == Grammar::flags_first) {
    app.prefix_command();
  } else {
    app.allow_extras();
  }
  std::vector<std::pair<const Flag*, CLI::Option*>> registered;
  std::vector<std::vector<std::string>> sinks(flags.size());
  for (std::size_t index = 0; index < flags.size(); ++index) {
    const Flag& flag = flags[index];
    if (!may_be_meant(flag, words)) continue;
    CLI::Option* option = flag.kind == FlagKind::boolean
                              ? app.add_flag(option_names(flag))
                              : app.add_option(option_names(flag), sinks[index])->allow_extra_args(false);
    registered.emplace_back(&flag, option);
  }
  CLI::Option* help = app.add_flag("--help");

  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ArgumentMismatch&) {
    throw UsageError(missing_value_text(words));
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }

  Arguments out;
  out.help = help->count() > 0;
  std::vector<std::string> rest = app.remaining();
  for (std::string& word : rest) word = unmark(std::move(word));
  if (!out.help) {
    const auto unknown = grammar == Grammar::flags_first
                             ? (!rest.empty() && is_flag_word(rest.front()) ? rest.begin() : rest.end())
                             : std::find_if(rest.begin(), rest.end(), is_flag_word);
    if (unknown != rest.end() && *unknown != "--") throw UsageError(unknown_flag_text(*unknown));
  }
  if (grammar == Grammar::flags_first && !rest.empty() && rest.front() == "--") rest.erase(rest.begin());
  for (const auto& [flag, option] : registered) {
    if (option->count() == 0) continue;
    std::vector<std::string> values = option->results();
    for (std::string& value : values) value = unmark(std::move(value));
    if (!out.help) check_values(*flag, values);
    out.values[std::string(flag->name)] = values;
  }
  out.positionals = std::move(rest);
  out.positionals.insert(out.positionals.end(), behind.begin(), behind.end());
  return out;
}

std::string Arguments::text(std::string_view name, std::string_view otherwise) const {
  const auto found = values.find(name);
  return found == values.end() || found->second.empty() ? std::string(otherwise) : found->second.back();
}

std::vector<std::string> Arguments::list(std::string_view name) const {
  const auto found = values.find(name);
  return found == values.end() ? std::vector<std::string>{} : found->second;
}

bool Arguments::enabled(std::string_view name, bool otherwise) const {
  return has(name) ? parse_bool(text(name, "true")) : otherwise;
}

std::int64_t Arguments::integer(std::string_view name, std::int64_t otherwise) const {
  if (!has(name)) return otherwise;
  std::string digits = text(name);
  if (digits.starts_with('+')) digits.erase(0, 1);
  std::int64_t number = otherwise;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

bool parse_bool(std::string_view text) {
  static constexpr std::string_view yes[] = {"1", "t", "T", "true", "TRUE", "True"};
  static constexpr std::string_view no[] = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::find(std::begin(yes), std::end(yes), text) != std::end(yes)) return true;
  if (std::find(std::begin(no), std::end(no), text) != std::end(no)) return false;
  fail_value(concat("strconv.ParseBool: parsing ", go_quote(text), ": invalid syntax"));
}

void check_bool(std::string_view value) { parse_bool(value); }
void check_int(std::string_view value) { check_integer<std::int64_t>("ParseInt", value); }
void check_uint(std::string_view value) { check_integer<std::uint64_t>("ParseUint", value); }
void check_uint16(std::string_view value) { check_integer<std::uint16_t>("ParseUint", value); }

void check_bytes(std::string_view value) {
  if (value == "-1") return;  // unlimited, where the flag allows it
  parse_size_bytes(value);
}

void check_duration(std::string_view value) {
  if (!parse_go_duration(value)) fail_value(concat("time: invalid duration ", go_quote(value)));
}

void check_filter(std::string_view value) {
  if (!value.empty() && value.find('=') == std::string_view::npos) {
    fail_value("bad format of filter (expected name=value)");
  }
}

}  // namespace mydocker::cli
