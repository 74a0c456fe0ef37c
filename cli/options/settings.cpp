#include "cli/options/settings.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "cli/options/publish.h"
#include "cli/options/words.h"
#include "engine/base/sys.h"
#include "engine/base/template/template.h"

namespace mydocker::cli {
namespace {

using text_template::go_json;
using text_template::go_quote;

std::string read_option_file(const std::string& path) {
  try {
    return read_file(path);
  } catch (const Error& error) {
    throw invalid_option("open ", path, ": ", to_lower(errno_text(error.errno_value()).substr(0, 1)),
                         errno_text(error.errno_value()).substr(1));
  }
}

// Lines of --env-file and --label-file: '#' comments, blank lines, blanks ahead of the name.
std::vector<std::string> read_pairs(const std::string& path, bool from_environment) {
  const std::string text = read_option_file(path);
  std::vector<std::string> out;
  std::string_view rest = text;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  for (std::string& line : split(rest, '\n')) {
    if (line.ends_with('\r')) line.pop_back();
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line[first] == '#') continue;
    line.erase(0, first);
    const std::size_t equals = line.find('=');
    const std::string name = line.substr(0, equals);
    if (name.find_first_of(" \t") != std::string::npos) {
      throw invalid_option("invalid env file (", path, "): variable '", name, "' contains whitespaces");
    }
    if (name.empty()) throw invalid_option("invalid env file (", path, "): no variable name on line '", line, "'");
    if (equals != std::string::npos) {
      out.push_back(line);
    } else if (!from_environment) {
      out.push_back(name);
    } else if (const char* value = std::getenv(name.c_str())) {
      out.push_back(concat(name, "=", value));
    }
  }
  return out;
}

std::string inline_seccomp(const std::string& path) {
  std::string text;
  try {
    text = read_option_file(path);
  } catch (const Error& error) {
    throw invalid_option("opening seccomp profile (", path, ") failed: ", error.message());
  }
  try {
    return go_json(parse_json(text), false);
  } catch (const Error& error) {
    throw invalid_option("compacting json for seccomp profile (", path, ") failed: ", error.message());
  }
}

std::set<std::string> normalize(const std::vector<std::string>& names) {
  std::set<std::string> out;
  for (const std::string& name : names) {
    const std::string upper = to_upper(trim(name));
    out.insert(upper == "ALL" || upper.starts_with("CAP_") ? upper : "CAP_" + upper);
  }
  return out;
}

}  // namespace

std::string resolve_environment(std::string_view text) {
  if (text.empty() || text[0] == '=') throw invalid_option("invalid environment variable: ", text);
  if (text.find('=') != std::string_view::npos) return std::string(text);
  const std::string name(text);
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? concat(name, "=", value) : name;
}

std::vector<std::string> read_environment_file(const std::string& path) { return read_pairs(path, true); }
std::vector<std::string> read_label_file(const std::string& path) { return read_pairs(path, false); }

api::StringMap to_map(const std::vector<std::string>& words) {
  api::StringMap out;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    out[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
  }
  return out;
}

void apply_security_options(const std::vector<std::string>& options, api::HostConfig& host) {
  std::vector<std::string> out;
  for (const std::string& option : options) {
    if (option == "systempaths=unconfined") {
      host.masked_paths.emplace();
      host.readonly_paths.emplace();
      continue;
    }
    const bool has_equals = option.find('=') != std::string::npos;
    const std::size_t separator = option.find(has_equals ? '=' : ':');
    if (separator == std::string::npos && option != "no-new-privileges") {
      throw invalid_option("Invalid --security-opt: ", go_quote(option));
    }
    const std::string name = option.substr(0, separator);
    const std::string value = separator == std::string::npos ? "" : option.substr(separator + 1);
    const bool profile = name == "seccomp" && value != "unconfined" && value != "builtin";
    out.push_back(profile ? concat("seccomp=", inline_seccomp(value)) : option);
  }
  if (!out.empty()) host.security_opt = std::move(out);
}

void apply_capabilities(const std::vector<std::string>& add, const std::vector<std::string>& drop,
                        api::HostConfig& host) {
  const std::set<std::string> added = normalize(add);
  std::set<std::string> dropped = normalize(drop);
  if (dropped.contains("ALL")) dropped = {"ALL"};
  for (const std::string& name : added) {
    if (name != "ALL") dropped.erase(name);
  }
  if (!added.empty()) host.cap_add.emplace(added.begin(), added.end());
  if (!dropped.empty()) host.cap_drop.emplace(dropped.begin(), dropped.end());
}

NetworkOption parse_network(std::string_view text) {
  NetworkOption out;
  if (text.find('=') == std::string_view::npos && text.find(',') == std::string_view::npos) {
    out.target = std::string(text);
    return out;
  }
  for (const std::string& part : split_csv(text)) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) throw invalid_option("invalid field ", part);
    const std::string key = to_lower(trim(part.substr(0, equals)));
    const std::string value(trim(part.substr(equals + 1)));
    const auto ipam = [&]() -> api::EndpointIpamConfig& {
      return out.endpoint.ipam_config ? *out.endpoint.ipam_config : out.endpoint.ipam_config.emplace();
    };
    if (key == "name") {
      out.target = value;
    } else if (key == "alias") {
      if (!out.endpoint.aliases) out.endpoint.aliases.emplace();
      out.endpoint.aliases->push_back(value);
    } else if (key == "driver-opt") {
      if (!out.endpoint.driver_opts) out.endpoint.driver_opts.emplace();
      const std::size_t split_at = value.find('=');
      if (split_at == std::string::npos) throw invalid_option("invalid key value pair format in driver options");
      (*out.endpoint.driver_opts)[value.substr(0, split_at)] = value.substr(split_at + 1);
    } else if (key == "ip") {
      ipam().ipv4_address = value;
    } else if (key == "ip6") {
      ipam().ipv6_address = value;
    } else if (key == "link-local-ip") {
      ipam().link_local_ips.push_back(value);
    } else if (key == "mac-address") {
      if (!is_mac_address(value)) throw invalid_option(value, " is not a valid mac address");
      out.endpoint.mac_address = value;
    } else if (key == "gw-priority") {
      out.endpoint.gateway_priority = std::strtoll(value.c_str(), nullptr, 10);
    } else {
      throw invalid_option("invalid field key ", key);
    }
  }
  if (out.target.empty()) throw invalid_option("network name/id is not specified");
  return out;
}

std::string parse_extra_host(std::string_view text) {
  std::size_t separator = text.find('=');
  if (separator == std::string_view::npos) separator = text.find(':');
  if (separator == std::string_view::npos || separator == 0) {
    throw invalid_option("bad format for add-host: ", go_quote(text));
  }
  std::string_view address = text.substr(separator + 1);
  if (address == "host-gateway") return concat(text.substr(0, separator), ":host-gateway");
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  if (!is_ip_address(address)) throw invalid_option("invalid IP address in add-host: ", go_quote(address));
  return concat(text.substr(0, separator), ":", address);
}

void check_environment(std::string_view text) { resolve_environment(text); }
void check_network(std::string_view text) { parse_network(text); }
void check_extra_host(std::string_view text) { parse_extra_host(text); }

void check_ip(std::string_view text) {
  if (!is_ip_address(text)) throw invalid_option("IP address is not correctly formatted: ", text);
}

void check_attach(std::string_view text) {
  const std::string lower = to_lower(text);
  if (lower != "stdin" && lower != "stdout" && lower != "stderr") {
    throw invalid_option("valid streams are STDIN, STDOUT and STDERR");
  }
}

void check_sysctl(std::string_view text) {
  static constexpr std::string_view names[] = {
      "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",          "kernel.sem",
      "kernel.shmall", "kernel.shmmax", "kernel.shm_rmid_forced", "kernel.shmmni"};
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const bool known = std::find(std::begin(names), std::end(names), name) != std::end(names) ||
                     name.starts_with("net.") || name.starts_with("fs.mqueue.");
  if (equals == std::string_view::npos || !known) throw invalid_option("sysctl '", text, "' is not allowed");
}

void check_label(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\v\f\r";
  std::string_view key = text.substr(0, text.find('='));
  key.remove_prefix(std::min(key.find_first_not_of(blanks), key.size()));
  if (key.empty()) throw invalid_option("invalid label '", text, "': empty name");
  if (key.find_first_of(blanks) != std::string_view::npos) {
    throw invalid_option("label '", text, "' contains whitespaces");
  }
}

/// "example.org", "org."; "." means no search at all.
void check_search_domain(std::string_view text) {
  if (text == ".") return;
  std::string_view rest = text.substr(0, text.size() - (text.ends_with('.') ? 1 : 0));
  const auto is_letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  const auto is_inner = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; };
  bool good = text.size() < 255 && std::any_of(rest.begin(), rest.end(), is_letter);
  while (good) {
    const std::string_view label = rest.substr(0, rest.find('.'));
    good = !label.empty() && std::all_of(label.begin(), label.end(), is_inner) && label.front() != '-' &&
           label.back() != '-';
    if (label.size() == rest.size()) break;
    rest.remove_prefix(label.size() + 1);
  }
  if (!good) throw invalid_option(text, " is not a valid domain");
}

void check_link(std::string_view text) {
  if (text.empty()) throw invalid_option("empty string specified for links");
  if (std::count(text.begin(), text.end(), ':') > 1) throw invalid_option("bad format for links: ", text);
}

bool is_mac_address(std::string_view text) {
  const std::vector<std::string> parts = split(text, text.find('-') != std::string_view::npos ? '-' : ':');
  return parts.size() == 6 && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return part.size() == 2 && part.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
         });
}

}  // namespace mydocker::cli
