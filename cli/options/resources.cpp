#include "cli/options/resources.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "cli/arguments.h"
#include "cli/options/words.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

template <typename Integer>
std::optional<Integer> to_integer(std::string_view text) {
  Integer out{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

std::int64_t need_integer(std::string_view text) {
  check_int(text);
  return to_integer<std::int64_t>(text).value_or(0);
}

bool is_device_mode(std::string_view text) {
  return !text.empty() && text.find_first_not_of("rwm") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [&](char c) { return std::count(text.begin(), text.end(), c) == 1; });
}

// "/dev/sda:VALUE" in two parts.
std::pair<std::string, std::string_view> split_device(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) throw invalid_option("bad format: ", text);
  if (!text.starts_with("/dev/")) throw invalid_option("bad format for device path: ", text);
  return {std::string(text.substr(0, colon)), text.substr(colon + 1)};
}

struct Fraction {
  __int128 numerator = 0;
  __int128 denominator = 1;
};

constexpr __int128 fraction_limit = __int128{1} << 100;

// A decimal number with an optional exponent; nullopt when it is none or absurdly long.
std::optional<Fraction> parse_decimal(std::string_view text) {
  Fraction out;
  bool negative = false;
  bool digits = false;
  bool point = false;
  std::size_t at = 0;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) negative = text[at++] == '-';
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      if (std::exchange(point, true)) return std::nullopt;
      continue;
    }
    if (text[at] < '0' || text[at] > '9' || out.numerator > fraction_limit || out.denominator > fraction_limit)
      return std::nullopt;
    digits = true;
    out.numerator = out.numerator * 10 + (text[at] - '0');
    if (point) out.denominator *= 10;
  }
  if (!digits) return std::nullopt;
  if (at < text.size()) {
    std::string_view exponent_text = text.substr(at + 1);
    if (exponent_text.starts_with('+')) exponent_text.remove_prefix(1);
    const auto exponent = to_integer<int>(exponent_text);
    if (!exponent || *exponent > 20 || *exponent < -20) return std::nullopt;
    for (int step = 0; step < std::abs(*exponent); ++step) {
      __int128& part = *exponent > 0 ? out.numerator : out.denominator;
      if (part > fraction_limit) return std::nullopt;
      part *= 10;
    }
  }
  if (negative) out.numerator = -out.numerator;
  return out;
}

}  // namespace

api::Ulimit parse_ulimit(std::string_view text) {
  static constexpr std::string_view names[] = {"core",    "cpu",      "data",   "fsize",      "locks",
                                               "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                                               "rss",     "rtprio",   "rttime", "sigpending", "stack"};
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) throw invalid_option("invalid ulimit argument: ", text);
  api::Ulimit out;
  out.name = std::string(text.substr(0, equals));
  if (std::find(std::begin(names), std::end(names), out.name) == std::end(names)) {
    throw invalid_option("invalid ulimit type: ", out.name);
  }
  const std::string_view limits = text.substr(equals + 1);
  const std::vector<std::string> parts = split(limits, ':');
  if (parts.size() > 2) {
    throw invalid_option("too many limit value arguments - ", limits, ", can only have up to two, `soft[:hard]`");
  }
  out.hard = need_integer(parts.back());
  out.soft = need_integer(parts.front());
  if (out.hard != -1 && (out.soft == -1 || out.soft > out.hard)) {
    throw invalid_option("ulimit soft limit must be less than or equal to hard limit: ", out.soft, " > ", out.hard);
  }
  return out;
}

api::DeviceMapping parse_device(std::string_view text) {
  const std::vector<std::string> parts = split(text, ':');
  if (text.empty() || parts.size() > 3) throw invalid_option("bad format for path: ", text);
  api::DeviceMapping out;
  out.path_on_host = parts[0];
  out.path_in_container = parts[0];
  out.cgroup_permissions = "rwm";
  if (parts.size() == 2 && is_device_mode(parts[1])) {
    out.cgroup_permissions = parts[1];
  } else if (parts.size() >= 2) {
    out.path_in_container = parts[1];
  }
  if (!out.path_in_container.starts_with('/')) throw invalid_option(out.path_in_container, " is not an absolute path");
  if (parts.size() == 3) {
    if (!is_device_mode(parts[2])) throw invalid_option("bad mode specified: ", parts[2]);
    out.cgroup_permissions = parts[2];
  }
  return out;
}

api::ThrottleDevice parse_throttle_bytes(std::string_view text) {
  const auto [path, rate] = split_device(text);
  api::ThrottleDevice out{path, 0};
  try {
    out.rate = static_cast<std::uint64_t>(parse_size_bytes(rate));
  } catch (const Error&) {
    throw invalid_option("invalid rate for device: ", text, ". The correct format is <device-path>:<number>[<unit>]. ",
                         "Number must be a positive integer. Unit is optional and can be kb, mb, or gb");
  }
  return out;
}

api::ThrottleDevice parse_throttle_operations(std::string_view text) {
  const auto [path, rate] = split_device(text);
  const auto number = to_integer<std::uint64_t>(rate);
  if (!number) {
    throw invalid_option("invalid rate for device: ", text,
                         ". The correct format is <device-path>:<number>. Number must be a positive integer");
  }
  return {path, *number};
}

api::WeightDevice parse_weight(std::string_view text) {
  const auto [path, value] = split_device(text);
  const auto weight = to_integer<std::uint16_t>(value);
  if (!weight || (*weight > 0 && (*weight < 10 || *weight > 1000))) {
    throw invalid_option("invalid weight for device: ", text);
  }
  return {path, *weight};
}

std::int64_t parse_cpus(std::string_view text) {
  const auto fail = [&] { return invalid_option("failed to parse ", text, " as a rational number"); };
  const std::size_t slash = text.find('/');
  auto value = parse_decimal(text.substr(0, slash));
  if (!value) throw fail();
  if (slash != std::string_view::npos) {
    const auto below = to_integer<std::int64_t>(text.substr(slash + 1));
    if (!below || *below <= 0 || value->denominator != 1) throw fail();
    value->denominator = *below;
  }
  const __int128 scaled = value->numerator * 1'000'000'000;
  if (scaled % value->denominator != 0) throw invalid_option("value is too precise");
  const __int128 nanos = scaled / value->denominator;
  if (nanos > std::numeric_limits<std::int64_t>::max() || nanos < std::numeric_limits<std::int64_t>::min())
    throw fail();
  return static_cast<std::int64_t>(nanos);
}

api::RestartPolicy parse_restart_policy(std::string_view text) {
  api::RestartPolicy out;
  const std::size_t colon = text.find(':');
  out.name = std::string(text.substr(0, colon));
  if (colon == std::string_view::npos) return out;
  if (out.name.empty()) throw invalid_option("invalid restart policy format: no policy provided before colon");
  const auto count = to_integer<std::int64_t>(text.substr(colon + 1));
  if (!count) throw invalid_option("invalid restart policy format: maximum retry count must be an integer");
  out.maximum_retries = *count;
  return out;
}

api::DeviceRequest parse_gpus(std::string_view text) {
  api::DeviceRequest out;
  std::vector<std::string> capabilities{"gpu"};
  for (const std::string& part : split_csv(text)) {
    const std::size_t equals = part.find('=');
    const std::string key = equals == std::string::npos ? "count" : part.substr(0, equals);
    const std::string value = equals == std::string::npos ? part : part.substr(equals + 1);
    if (key == "count") {
      const auto number = to_integer<std::int64_t>(value);
      if (value != "all" && !number)
        throw invalid_option("invalid count (", value, "): value must be either \"all\" or an integer");
      out.count = value == "all" ? -1 : *number;
    } else if (key == "device") {
      out.device_ids = split(value, ',');
    } else if (key == "driver") {
      out.driver = value;
    } else if (key == "capabilities") {
      for (const std::string& word : split(value, ',')) {
        if (word != "gpu") capabilities.push_back(word);
      }
    } else {
      throw invalid_option("unexpected key '", key, "' in '", part, "'");
    }
  }
  if (out.count == 0 && !out.device_ids) out.count = 1;
  out.capabilities.emplace().push_back(std::move(capabilities));
  return out;
}

void check_ulimit(std::string_view text) { parse_ulimit(text); }
void check_cpus(std::string_view text) { parse_cpus(text); }
void check_throttle_bytes(std::string_view text) { parse_throttle_bytes(text); }
void check_throttle_operations(std::string_view text) { parse_throttle_operations(text); }
void check_weight(std::string_view text) { parse_weight(text); }
void check_gpus(std::string_view text) { parse_gpus(text); }

void check_device_rule(std::string_view text) {
  const std::vector<std::string> parts = split(text, ' ');
  const auto is_number = [](std::string_view word) {
    return word == "*" || (!word.empty() && word.find_first_not_of("0123456789") == std::string_view::npos);
  };
  bool good =
      parts.size() == 3 && parts[0].size() == 1 && std::string_view("acb").find(parts[0]) != std::string_view::npos;
  if (good) {
    const std::vector<std::string> numbers = split(parts[1], ':');
    good = numbers.size() == 2 && is_number(numbers[0]) && is_number(numbers[1]) && !parts[2].empty() &&
           parts[2].size() <= 3 && parts[2].find_first_not_of("rwm") == std::string::npos;
  }
  if (!good) throw invalid_option("invalid device cgroup format '", text, "'");
}

}  // namespace mydocker::cli
