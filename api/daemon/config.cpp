#include "api/daemon/config.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>

#include "api/daemon/settings.h"
#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/sys.h"
#include "runtime/systemd.h"

namespace mydocker::daemon {
namespace {

constexpr std::size_t largest_config_file = std::size_t{1} << 20;

const Setting* find_flag(std::string_view name) {
  for (const Setting& setting : all_settings()) {
    if (setting.flag == name) return &setting;
  }
  return nullptr;
}

const Setting* find_letter(char letter) {
  for (const Setting& setting : all_settings()) {
    if (setting.letter == letter) return &setting;
  }
  return nullptr;
}

const Setting* find_key(std::string_view key) {
  for (const Setting& setting : all_settings()) {
    if (!key.empty() && setting.key == key) return &setting;
  }
  return nullptr;
}

/// A flag as it was given.
struct Given {
  const Setting* setting = nullptr;
  std::string value;
};

void apply(const Setting& setting, const std::string& value, const std::string& name, Config& config) {
  try {
    setting.apply(config, value);
  } catch (Error& error) {
    error.add_context(name);
    throw;
  }
}

/// "-H x", "-Hx", "-D", "-DH x" (letters without value may be joined).
void parse_letters(const std::vector<std::string>& arguments, std::size_t& index, std::vector<Given>& given) {
  const std::string& word = arguments[index];
  for (std::size_t i = 1; i < word.size(); ++i) {
    const Setting* setting = find_letter(word[i]);
    if (setting == nullptr) {
      throw Error(ErrorKind::invalid_argument, concat("unknown shorthand flag: '", word[i], "' in ", word));
    }
    if (setting->takes == Takes::boolean) {
      given.push_back({setting, "true"});
      continue;
    }
    std::string value = word.substr(i + 1);
    if (value.starts_with('=')) value.erase(0, 1);
    if (i + 1 == word.size()) {
      if (++index >= arguments.size()) {
        throw Error(ErrorKind::invalid_argument, concat("flag needs an argument: '", word[i], "' in ", word));
      }
      value = arguments[index];
    }
    given.push_back({setting, value});
    return;
  }
}

void parse_long(const std::vector<std::string>& arguments, std::size_t& index, std::vector<Given>& given) {
  const std::string& word = arguments[index];
  const std::size_t equals = word.find('=');
  const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
  const Setting* setting = find_flag(name);
  if (setting == nullptr) throw Error(ErrorKind::invalid_argument, concat("unknown flag: --", name));
  if (equals != std::string::npos) {
    given.push_back({setting, word.substr(equals + 1)});
  } else if (setting->takes == Takes::boolean) {
    given.push_back({setting, "true"});
  } else if (++index < arguments.size()) {
    given.push_back({setting, arguments[index]});
  } else {
    throw Error(ErrorKind::invalid_argument, concat("flag needs an argument: --", name));
  }
}

std::vector<Given> parse_flags(const std::vector<std::string>& arguments) {
  std::vector<Given> given;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with("--") && arguments[i].size() > 2) {
      parse_long(arguments, i, given);
    } else if (arguments[i].starts_with('-') && arguments[i].size() > 1 && arguments[i] != "--") {
      parse_letters(arguments, i, given);
    } else {
      throw Error(ErrorKind::invalid_argument, concat("unexpected argument: ", arguments[i]));
    }
  }
  return given;
}

std::string scalar_text(const json::value& value, const std::string& key) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_bool()) return value.get_bool() ? "true" : "false";
  if (value.is_int64() || value.is_uint64()) return write_json(value);
  throw Error(ErrorKind::invalid_argument, concat(key, ": expected text, a number, true or false"));
}

/// {"path": "/usr/bin/crun", "runtimeArgs": []} of "runtimes" (as it is), {"Hard": 2, "Soft": 1} of "default-ulimits",
/// a plain value of "log-opts".
std::string map_entry_text(const std::string& key, const std::string& name, const json::value& value) {
  if (!value.is_object()) return concat(name, "=", scalar_text(value, key));
  const json::object& object = value.get_object();
  const auto member = [&](std::string_view first, std::string_view second) -> std::string {
    const json::value* found = object.if_contains(first);
    if (found == nullptr) found = object.if_contains(second);
    if (found == nullptr) throw Error(ErrorKind::invalid_argument, concat(key, ".", name, ": needs ", first));
    return scalar_text(*found, key);
  };
  if (key == "runtimes") return concat(name, "=", write_json(object));
  if (key == "default-ulimits") return concat(name, "=", member("Soft", "soft"), ":", member("Hard", "hard"));
  throw Error(ErrorKind::invalid_argument, concat(key, ".", name, ": expected a plain value"));
}

/// {"base": "172.80.0.0/16", "size": 24} of "default-address-pools".
std::string list_entry_text(const std::string& key, const json::value& value) {
  if (!value.is_object()) return scalar_text(value, key);
  std::string text;
  for (const auto& entry : value.get_object()) {
    text += concat(text.empty() ? "" : ",", std::string_view(entry.key()), "=", scalar_text(entry.value(), key));
  }
  return text;
}

std::vector<std::string> setting_texts(const Setting& setting, const json::value& value) {
  const std::string key(setting.key);
  std::vector<std::string> texts;
  if (setting.takes != Takes::many) {
    texts.push_back(scalar_text(value, key));
  } else if (value.is_object()) {
    for (const auto& entry : value.get_object()) {
      texts.push_back(map_entry_text(key, std::string(entry.key()), entry.value()));
    }
  } else if (value.is_array()) {
    for (const json::value& item : value.get_array()) texts.push_back(list_entry_text(key, item));
  } else {
    texts.push_back(scalar_text(value, key));
  }
  return texts;
}

}  // namespace

void apply_config_file(std::string_view text, const std::vector<std::string>& from_flags, Config& config) {
  const json::value document = parse_json(text);
  if (!document.is_object()) throw Error(ErrorKind::invalid_argument, "invalid JSON: expected an object");
  for (const auto& entry : document.get_object()) {
    const std::string key(entry.key());
    const Setting* setting = find_key(key);
    if (setting == nullptr) {
      throw Error(ErrorKind::invalid_argument,
                  concat("the following directives don't match any configuration option: ", key));
    }
    if (std::find(from_flags.begin(), from_flags.end(), key) != from_flags.end()) {
      throw Error(ErrorKind::invalid_argument,
                  concat("the following directives are specified both as a flag and in the configuration file: ", key));
    }
    if (entry.value().is_null()) continue;
    for (const std::string& value : setting_texts(*setting, entry.value())) {
      apply(*setting, value, key, config);
      config.given[key] += value + "\n";
    }
  }
}

namespace {

/// What only the whole shows: the driver may be named after the parent.
void check_config(Config& config) {
  std::string& parent = config.engine.cgroup_parent;
  if (config.engine.cgroup_driver == "systemd") {
    if (parent == engine::Options().cgroup_parent) parent = "system.slice";
    if (!runtime::is_slice_name(parent)) {
      throw Error(
          ErrorKind::invalid_argument,
          concat("cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\", not ", parent));
    }
  } else if (!parent.starts_with('/')) {
    throw Error(ErrorKind::invalid_argument, concat("--cgroup-parent: \"", parent, "\" is not an absolute path"));
  }
  while (parent.size() > 1 && parent.ends_with('/')) parent.pop_back();
  const std::string& runtime = config.engine.default_runtime;
  if (runtime != "mydocker" && runtime != "runc" && !config.engine.runtimes.contains(runtime)) {
    throw Error(ErrorKind::invalid_argument, concat("specified default runtime '", runtime, "' does not exist"));
  }
}

/// Who reaches the socket is root on this host: over TCP only with a certificate on both sides (SECURITY R15).
void check_remote_hosts(const Config& config) {
  for (const std::string& host : config.hosts) {
    if (!host.starts_with("tcp://") || config.tls_verify) continue;
    throw Error(
        ErrorKind::invalid_argument,
        concat("host ", host, ": TCP is served with mutual TLS only: give --tlsverify with --tlscacert, --tlscert ",
               "and --tlskey"));
  }
}

}  // namespace

std::vector<std::string> find_fixed_changes(const Config& running, const Config& fresh) {
  std::map<std::string, std::pair<std::string, std::string>> both;
  for (const auto& [key, value] : running.given) both[key].first = value;
  for (const auto& [key, value] : fresh.given) both[key].second = value;
  std::vector<std::string> keys;
  for (const auto& [key, values] : both) {
    if (values.first != values.second && !is_reloadable(key)) keys.push_back(key);
  }
  return keys;
}

Config parse_config(const std::vector<std::string>& arguments) {
  Config config;
  const std::vector<Given> given = parse_flags(arguments);
  std::vector<std::string> from_flags;
  for (const Given& flag : given) {
    apply(*flag.setting, flag.value, concat("--", flag.setting->flag), config);
    if (flag.setting->key.empty()) continue;
    from_flags.emplace_back(flag.setting->key);
    config.given[std::string(flag.setting->key)] += flag.value + "\n";
  }
  if (config.show_help || config.show_version) return config;
  const std::optional<std::string> text = find_file_at(AT_FDCWD, config.config_file, largest_config_file);
  if (!text && config.config_file_was_set) {
    throw Error(ErrorKind::invalid_argument,
                concat("unable to configure the engine with file ", config.config_file, ": no such file"));
  }
  if (text && text->find_first_not_of(" \t\r\n") != std::string::npos) {
    try {
      apply_config_file(*text, from_flags, config);
    } catch (Error& error) {
      error.add_context(concat("unable to configure the engine with file ", config.config_file));
      throw;
    }
  }
  check_config(config);
  if (config.hosts.empty()) config.hosts.emplace_back(default_host);
  check_remote_hosts(config);
  if (config.pidfile.empty()) config.pidfile = config.engine.exec_root + "/mydockerd.pid";
  return config;
}

std::string make_help() {
  std::string text = "Usage: mydockerd [OPTIONS]\n\nThe container engine: serves the Engine API.\n\nOptions:\n";
  for (const Setting& setting : all_settings()) {
    std::string line = setting.letter != 0 ? concat("  -", setting.letter, ", ") : "      ";
    line += concat("--", setting.flag,
                   setting.takes == Takes::boolean ? ""
                   : setting.takes == Takes::one   ? " value"
                                                   : " list");
    line.resize(std::max<std::size_t>(line.size() + 2, 38), ' ');
    text += concat(line, setting.help, "\n");
  }
  return text;
}

}  // namespace mydocker::daemon
