#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>

#include "engine/base/error.h"
#include "engine/base/path.h"
#include "engine/base/time.h"
#include "image/image_config.h"

/// The Dockerfile instructions that only change a config (Dockerfile reference; moby's validCommitCommands).
namespace mydocker::image {

namespace {

using Words = std::vector<std::string>;

Error bad(std::string message) { return Error(ErrorKind::invalid_argument, std::move(message)); }

bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_name_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string to_upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return out;
}

/// Splits at white space outside quotes; quotes and escapes stay in the words.
Words split_words(std::string_view text) {
  Words out;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == 0 && is_space(c)) {
      if (in_word) out.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    word += c;
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    }
  }
  if (in_word) out.push_back(std::move(word));
  return out;
}

/// The environment that $NAME refers to.
std::string find_env(const ImageConfig& config, std::string_view name) {
  if (!config.env) return "";
  for (const std::string& one : *config.env) {
    if (one.size() > name.size() && one[name.size()] == '=' && one.starts_with(name))
      return one.substr(name.size() + 1);
  }
  return "";
}

/// Reads "$NAME" or "${NAME}", "${NAME:-word}", "${NAME:+word}" at `text[i]` == '$'; moves `i` behind it.
std::string expand_variable(const ImageConfig& config, std::string_view text, std::size_t& i) {
  std::size_t begin = i + 1;
  if (begin < text.size() && text[begin] == '{') {
    const std::size_t end = text.find('}', begin);
    if (end == std::string_view::npos) throw bad(concat("failed to process \"", text, "\": missing closing brace"));
    const std::string_view inner = text.substr(begin + 1, end - begin - 1);
    i = end + 1;
    const std::size_t colon = inner.find(':');
    const std::string value = find_env(config, inner.substr(0, colon));
    if (colon == std::string_view::npos) return value;
    if (inner.substr(colon).starts_with(":-")) return value.empty() ? std::string(inner.substr(colon + 2)) : value;
    if (inner.substr(colon).starts_with(":+")) return value.empty() ? "" : std::string(inner.substr(colon + 2));
    throw bad(concat("failed to process \"", text, "\": unsupported modifier"));
  }
  std::size_t end = begin;
  while (end < text.size() && is_name_char(text[end])) ++end;
  i = end;
  if (end == begin) return "$";
  return find_env(config, text.substr(begin, end - begin));
}

/// Removes quotes and escapes and replaces variables, as a shell would in one word.
std::string process_word(const ImageConfig& config, std::string_view text) {
  std::string out;
  char quote = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (quote == '\'') {
      if (c == '\'') {
        quote = 0;
      } else {
        out += c;
      }
      ++i;
    } else if (c == '\\' && i + 1 < text.size()) {
      const char next = text[i + 1];
      if (quote == '"' && next != '"' && next != '$' && next != '\\') out += c;
      out += next;
      i += 2;
    } else if (c == '$') {
      out += expand_variable(config, text, i);
    } else if (c == '"' || (c == '\'' && quote == 0)) {
      quote = quote == 0 ? c : '\0';
      ++i;
    } else {
      out += c;
      ++i;
    }
  }
  if (quote != 0)
    throw bad(concat("failed to process \"", text, "\": unexpected end of statement while looking for matching quote"));
  return out;
}

/// ["a", "b"], or nullopt when it is not a JSON list of strings (then it is the shell form, as Docker decides).
std::optional<Words> parse_exec_form(std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;
  try {
    return from_json<Words>(parse_json(text));
  } catch (const Error&) {
    return std::nullopt;
  }
}

Words parse_command(const ImageConfig& config, std::string_view text) {
  if (auto exec = parse_exec_form(text)) return *exec;
  Words out = config.shell ? *config.shell : Words{"/bin/sh", "-c"};
  out.emplace_back(text);
  return out;
}

/// `key=value key2="v 2"`, or the old `key rest of the line`.
std::vector<std::pair<std::string, std::string>> parse_pairs(const ImageConfig& config, std::string_view instruction,
                                                             std::string_view text) {
  const Words words = split_words(text);
  if (words.empty()) throw bad(concat(instruction, " requires at least one argument"));
  std::vector<std::pair<std::string, std::string>> out;
  if (words.front().find('=') == std::string::npos) {
    if (words.size() < 2) throw bad(concat(instruction, " must have two arguments"));
    const std::string_view value = trim(text.substr(words.front().size()));
    out.emplace_back(process_word(config, words.front()), process_word(config, value));
    return out;
  }
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      throw bad(concat("Syntax error - can't find = in \"", word, "\". Must be of the form: name=value"));
    }
    std::string key = process_word(config, std::string_view(word).substr(0, equals));
    if (key.empty()) throw bad(concat(instruction, " names can not be blank"));
    out.emplace_back(std::move(key), process_word(config, std::string_view(word).substr(equals + 1)));
  }
  return out;
}

void set_env(ImageConfig& config, std::string_view text) {
  const auto pairs = parse_pairs(config, "ENV", text);
  if (!config.env) config.env.emplace();
  for (const auto& [key, value] : pairs) {
    const std::string prefix = key + "=";
    const auto found = std::find_if(config.env->begin(), config.env->end(),
                                    [&](const std::string& one) { return one.starts_with(prefix); });
    if (found != config.env->end()) {
      *found = prefix + value;
    } else {
      config.env->push_back(prefix + value);
    }
  }
}

void set_labels(ImageConfig& config, std::string_view text) {
  if (!config.labels) config.labels.emplace();
  for (auto& [key, value] : parse_pairs(config, "LABEL", text)) (*config.labels)[key] = value;
}

std::uint32_t parse_port(std::string_view text, std::string_view whole) {
  std::uint32_t port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || port > 65535) throw bad(concat("invalid containerPort: ", whole));
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (text.empty() || port > 65535) throw bad(concat("invalid containerPort: ", whole));
  return port;
}

void expose(ImageConfig& config, std::string_view text) {
  for (const std::string& raw : split_words(text)) {
    const std::string word = process_word(config, raw);
    const std::size_t slash = word.find('/');
    std::string protocol = slash == std::string::npos ? "tcp" : word.substr(slash + 1);
    std::transform(protocol.begin(), protocol.end(), protocol.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") throw bad(concat("invalid proto: ", protocol));
    const std::string ports = word.substr(0, slash);
    const std::size_t dash = ports.find('-');
    const std::uint32_t first = parse_port(std::string_view(ports).substr(0, dash), word);
    const std::uint32_t last =
        dash == std::string::npos ? first : parse_port(std::string_view(ports).substr(dash + 1), word);
    if (last < first) throw bad(concat("invalid containerPort: ", word));
    for (std::uint32_t port = first; port <= last; ++port) config.exposed_ports[concat(port, '/', protocol)];
  }
}

void add_volumes(ImageConfig& config, std::string_view text) {
  Words paths;
  if (auto exec = parse_exec_form(text)) {
    paths = *exec;
  } else {
    paths = split_words(text);
  }
  for (const std::string& raw : paths) {
    const std::string path = process_word(config, raw);
    if (trim(path).empty()) throw bad("VOLUME specified can not be an empty string");
    config.volumes[path];
  }
}

void set_working_dir(ImageConfig& config, std::string_view text) {
  const std::string path = process_word(config, text);
  if (path.empty()) throw bad("WORKDIR requires exactly one argument");
  config.working_dir = clean_path(path.starts_with('/') ? path : concat(config.working_dir, "/", path));
}

std::int64_t parse_health_duration(std::string_view name, std::string_view text) {
  const auto duration = parse_go_duration(text);
  if (!duration) throw bad(concat("time: invalid duration \"", text, "\""));
  if (duration->count() != 0 && duration->count() < 1000000) {
    throw bad(concat("Interval \"", name, "\" cannot be less than 1ms"));
  }
  return duration->count();
}

void set_healthcheck(ImageConfig& config, std::string_view text) {
  HealthConfig out;
  while (text.starts_with("--")) {
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view flag = text.substr(2, end - 2);
    const std::size_t equals = flag.find('=');
    if (equals == std::string_view::npos) throw bad(concat("Missing a value on flag: ", flag));
    const std::string_view name = flag.substr(0, equals);
    const std::string_view value = flag.substr(equals + 1);
    if (name == "interval")
      out.interval = parse_health_duration(name, value);
    else if (name == "timeout")
      out.timeout = parse_health_duration(name, value);
    else if (name == "start-period")
      out.start_period = parse_health_duration(name, value);
    else if (name == "start-interval")
      out.start_interval = parse_health_duration(name, value);
    else if (name == "retries")
      out.retries = static_cast<std::int64_t>(parse_port(value, value));
    else
      throw bad(concat("Unknown flag: ", name));
    text = trim(text.substr(end));
  }
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string kind = to_upper(text.substr(0, end));
  const std::string_view rest = trim(text.substr(end));
  if (kind == "NONE") {
    if (!rest.empty()) throw bad("HEALTHCHECK NONE takes no arguments");
    out.test = Words{"NONE"};
  } else if (kind == "CMD") {
    if (rest.empty()) throw bad("Missing command after HEALTHCHECK CMD");
    if (auto exec = parse_exec_form(rest)) {
      out.test = Words{"CMD"};
      out.test->insert(out.test->end(), exec->begin(), exec->end());
    } else {
      out.test = Words{"CMD-SHELL", std::string(rest)};
    }
  } else {
    throw bad(concat("Unknown type \"", kind, "\" in HEALTHCHECK (try CMD)"));
  }
  config.healthcheck = std::move(out);
}

struct Instruction {
  std::string_view name;
  void (*apply)(ImageConfig&, std::string_view);
};

constexpr std::array<Instruction, 11> instructions{{
    {"CMD", [](ImageConfig& c, std::string_view text) { c.cmd = parse_command(c, text); }},
    {"ENTRYPOINT", [](ImageConfig& c, std::string_view text) { c.entrypoint = parse_command(c, text); }},
    {"ENV", set_env},
    {"EXPOSE", expose},
    {"HEALTHCHECK", set_healthcheck},
    {"LABEL", set_labels},
    {"ONBUILD",
     [](ImageConfig& c, std::string_view text) {
       if (!c.on_build) c.on_build.emplace();
       c.on_build->emplace_back(text);
     }},
    {"STOPSIGNAL", [](ImageConfig& c, std::string_view text) { c.stop_signal = process_word(c, text); }},
    {"USER", [](ImageConfig& c, std::string_view text) { c.user = process_word(c, text); }},
    {"VOLUME", add_volumes},
    {"WORKDIR", set_working_dir},
}};

}  // namespace

void apply_changes(ImageConfig& config, const std::vector<std::string>& lines) {
  for (const std::string& raw : lines) {
    const std::string_view line = trim(raw);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    const std::string name = to_upper(line.substr(0, end));
    const std::string_view text = trim(line.substr(end));
    const auto found = std::find_if(instructions.begin(), instructions.end(),
                                    [&](const Instruction& one) { return one.name == name; });
    if (found == instructions.end()) throw bad(concat(name, " is not a valid change command"));
    if (text.empty()) throw bad(concat(name, " requires at least one argument"));
    found->apply(config, text);
  }
}

}  // namespace mydocker::image
