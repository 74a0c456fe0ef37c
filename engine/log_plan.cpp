#include "engine/log_plan.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>
#include <regex>
#include <set>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "engine/log_tag.h"

namespace mydocker::engine {
namespace {

constexpr std::int64_t default_buffer_bytes = std::int64_t{1} << 20;
constexpr std::string_view default_syslog_port = "514";

[[noreturn]] void invalid(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

std::string find_option(const api::StringMap& options, const std::string& name) {
  const auto found = options.find(name);
  return found == options.end() ? "" : found->second;
}

/// A number with a unit of `base` (1000 for Docker's human sizes, 1024 for its RAM sizes), or nullopt.
std::optional<std::int64_t> parse_size(std::string_view text, std::int64_t base) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value < 0) return std::nullopt;
  std::string unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit.starts_with(' ')) unit.erase(0, 1);
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  std::int64_t scale = 1;
  if (!unit.empty() && unit != "b") {
    const std::size_t power = std::string_view("kmgtp").find(unit[0]);
    if (power == std::string_view::npos || !(unit.size() == 1 || unit.substr(1) == "b" || unit.substr(1) == "ib")) {
      return std::nullopt;
    }
    for (std::size_t i = 0; i <= power; ++i) scale *= base;
  }
  const double bytes = value * static_cast<double>(scale);
  if (bytes > 9e18) return std::nullopt;
  return static_cast<std::int64_t>(bytes);
}

bool parse_bool(const std::string& text, std::string_view option) {
  static const std::set<std::string> yes = {"1", "t", "T", "TRUE", "true", "True"};
  static const std::set<std::string> no = {"0", "f", "F", "FALSE", "false", "False"};
  if (!yes.contains(text) && !no.contains(text))
    invalid(concat("invalid value for log opt ", option, ": \"", text, "\""));
  return yes.contains(text);
}

/// Files: how large, how many. Absent options leave the engine's defaults. `prefix` is "cache-" for the options of the
/// cache.
void read_file_options(const api::StringMap& options, runtime::LogOptions& log, const std::string& prefix = "") {
  if (const std::string text = find_option(options, prefix + "max-size"); !text.empty() && text != "-1") {
    const std::optional<std::int64_t> size = parse_size(text, 1000);
    if (!size) invalid(concat("invalid size: '", text, "'"));
    if (*size <= 0) invalid(prefix + "max-size must be a positive number");
    log.max_size_bytes = *size;
  } else if (text == "-1") {
    log.max_size_bytes = 0;
  }
  if (const std::string text = find_option(options, prefix + "max-file"); !text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), log.max_files);
    if (error != std::errc{} || end != text.data() + text.size()) {
      invalid(concat("invalid value for log opt ", prefix, "max-file: \"", text, "\""));
    }
    if (log.max_files < 1) invalid(prefix + "max-file cannot be less than 1");
  }
  if (const std::string text = find_option(options, prefix + "compress"); !text.empty()) {
    log.compress = parse_bool(text, prefix + "compress");
    if (log.compress && (log.max_files < 2 || log.max_size_bytes <= 0)) {
      invalid(concat(prefix, "compress cannot be true when ", prefix, "max-file is less than 2 or ", prefix,
                     "max-size is not set"));
    }
  }
}

constexpr const char* cache_prefix = "cache-";

bool is_common_option(const std::string& name) {
  static const std::set<std::string> names = {"mode",           "max-buffer-size", "cache-disabled",
                                              "cache-max-size", "cache-max-file",  "cache-compress"};
  return names.contains(name);
}

/// A driver that keeps nothing here has its last output kept beside it, unless that is not wanted.
bool wants_cache(const api::StringMap& options) {
  const std::string text = find_option(options, "cache-disabled");
  return text.empty() || !parse_bool(text, "cache-disabled");
}

/// Compact files keep their rotated ones compressed, as far as there are any.
void plan_compact_files(const api::StringMap& options, const std::string& prefix, runtime::LogOptions& log) {
  log.compress = true;
  read_file_options(options, log, prefix);
  if (log.max_files < 2 || log.max_size_bytes <= 0) log.compress = false;
}

int parse_facility(const std::string& text) {
  static const std::map<std::string, int> names = {
      {"", 3},        {"kern", 0},    {"user", 1},    {"mail", 2},    {"daemon", 3},    {"auth", 4},    {"syslog", 5},
      {"lpr", 6},     {"news", 7},    {"uucp", 8},    {"cron", 9},    {"authpriv", 10}, {"ftp", 11},    {"local0", 16},
      {"local1", 17}, {"local2", 18}, {"local3", 19}, {"local4", 20}, {"local5", 21},   {"local6", 22}, {"local7", 23}};
  if (const auto found = names.find(text); found != names.end()) return found->second;
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0 || number > 23) {
    invalid("invalid syslog facility");
  }
  return number;
}

/// "udp://host:port", "tcp://...", "unix:///path", "unixgram:///path"; "" = this host's.
void parse_syslog_address(const std::string& text, runtime::SyslogOptions& syslog) {
  if (text.empty()) return;
  const std::size_t mark = text.find("://");
  const std::string transport = text.substr(0, std::min(mark, text.size()));
  if (transport == "tcp+tls") invalid("the syslog transport tcp+tls is not supported: use tcp or udp");
  static const std::set<std::string> known = {"udp", "tcp", "unix", "unixgram"};
  if (mark == std::string::npos || !known.contains(transport)) {
    invalid(concat("syslog-address should be in form proto://address, got ", text));
  }
  std::string address = text.substr(mark + 3);
  if (!transport.starts_with("unix")) {
    const std::size_t bracket = address.rfind(']');
    const std::size_t colon = address.rfind(':');
    const bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
    if (!has_port) address += concat(':', default_syslog_port);
    if (address.starts_with(':')) invalid(concat("syslog-address should be in form proto://address, got ", text));
  } else if (!address.starts_with('/')) {
    invalid(concat("syslog-address should be in form proto://address, got ", text));
  }
  syslog.transport = transport;
  syslog.address = address;
}

runtime::SyslogOptions read_syslog_options(const api::StringMap& options) {
  runtime::SyslogOptions syslog;
  parse_syslog_address(find_option(options, "syslog-address"), syslog);
  syslog.facility = parse_facility(find_option(options, "syslog-facility"));
  syslog.format = find_option(options, "syslog-format");
  static const std::set<std::string> formats = {"", "rfc3164", "rfc5424", "rfc5424micro"};
  if (!formats.contains(syslog.format)) invalid("Invalid syslog format");
  return syslog;
}

struct Driver {
  std::set<std::string> options;
  std::function<void(const api::StringMap&)> check;
};

const std::map<std::string, Driver>& known_drivers() {
  static const std::set<std::string> metadata = {"labels", "labels-regex", "env", "env-regex", "tag"};
  static const auto with = [](std::set<std::string> more) {
    more.insert(metadata.begin(), metadata.end());
    return more;
  };
  static const auto check_files = [](const api::StringMap& options) {
    runtime::LogOptions log;
    read_file_options(options, log);
  };
  static const std::map<std::string, Driver> drivers = {
      {"json-file", {with({"max-size", "max-file", "compress"}), check_files}},
      {"local", {{"max-size", "max-file", "compress"}, check_files}},
      {"journald", {with({}), [](const api::StringMap&) {}}},
      {"syslog", {with({"syslog-address", "syslog-facility", "syslog-format"}), [](const api::StringMap& options) {
                    read_syslog_options(options);
                  }}}};
  return drivers;
}

std::regex parse_regex(const std::string& text, std::string_view option) {
  try {
    return std::regex(text);
  } catch (const std::regex_error&) {
    invalid(concat("error parsing log opt ", option, ": \"", text, "\" is no regular expression"));
  }
}

/// Options that every driver takes.
void check_common(const api::StringMap& options) {
  const std::string mode = find_option(options, "mode");
  if (!mode.empty() && mode != "blocking" && mode != "non-blocking") {
    invalid(concat("logger: logging mode not supported: ", mode));
  }
  if (const std::string size = find_option(options, "max-buffer-size"); options.contains("max-buffer-size")) {
    if (mode != "non-blocking") {
      invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    }
    if (!parse_size(size, 1024)) invalid(concat("error parsing option max-buffer-size: invalid size: '", size, "'"));
  }
  wants_cache(options);
  runtime::LogOptions cache;
  read_file_options(options, cache, cache_prefix);
}

std::vector<std::string> split_names(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    names.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

/// Labels and variables that the options choose.
std::map<std::string, std::string> choose_attributes(const ContainerRecord& record, const api::StringMap& options) {
  std::map<std::string, std::string> out;
  std::map<std::string, std::string> environment;
  for (const std::string& entry : record.config.env.value_or(api::StringList{})) {
    const std::size_t equals = entry.find('=');
    if (equals != std::string::npos) environment[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  const auto take_named = [&](const std::string& option, const auto& from) {
    for (const std::string& name : split_names(find_option(options, option))) {
      if (const auto found = from.find(name); found != from.end()) out[name] = found->second;
    }
  };
  const auto take_matching = [&](const std::string& option, const auto& from) {
    const std::string text = find_option(options, option);
    if (text.empty()) return;
    const std::regex pattern = parse_regex(text, option);
    for (const auto& [name, value] : from) {
      if (std::regex_search(name, pattern)) out[name] = value;
    }
  };
  take_named("labels", record.config.labels);
  take_matching("labels-regex", record.config.labels);
  take_named("env", environment);
  take_matching("env-regex", environment);
  return out;
}

/// journald takes A-Z, 0-9 and '_', the latter not in front.
std::string make_journal_name(const std::string& key) {
  std::string name;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) == 0 && name.empty()) continue;
    name.push_back(std::isalnum(byte) != 0 ? static_cast<char>(std::toupper(byte)) : '_');
  }
  return name;
}

std::map<std::string, std::string> make_journal_fields(const ContainerRecord& record, const std::string& tag,
                                                       const std::map<std::string, std::string>& attributes) {
  std::map<std::string, std::string> fields = {
      {"CONTAINER_ID", record.id.substr(0, 12)}, {"CONTAINER_ID_FULL", record.id},
      {"CONTAINER_NAME", record.name},           {"CONTAINER_TAG", tag},
      {"IMAGE_NAME", record.config.image},       {"SYSLOG_IDENTIFIER", tag}};
  for (const auto& [key, value] : attributes) {
    if (const std::string name = make_journal_name(key); !name.empty()) fields.emplace(name, value);
  }
  return fields;
}

/// The shim has no resolver: it gets numbers.
std::string resolve(const std::string& address, bool datagrams) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = datagrams ? SOCK_DGRAM : SOCK_STREAM;
  addrinfo* list = nullptr;
  const int result = ::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &list);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  char name[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (result != 0 || ::getnameinfo(list->ai_addr, list->ai_addrlen, name, sizeof name, port, sizeof port,
                                   NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    throw Error(ErrorKind::unavailable, concat("failed to initialize logging driver: dial ", address, ": ",
                                               result != 0 ? ::gai_strerror(result) : "no such address"));
  }
  return list->ai_family == AF_INET6 ? concat('[', name, "]:", port) : concat(name, ':', port);
}

}  // namespace

std::vector<std::string> log_driver_names() {
  std::vector<std::string> names = {"none"};
  for (const auto& [name, driver] : known_drivers()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

void check_log_config(api::LogConfig& config, const Options& options) {
  if (config.type.empty()) config.type = options.log_driver;
  if (config.type == options.log_driver) {
    for (const auto& [key, value] : options.log_options) config.config.emplace(key, value);
  }
  if (config.type == "none") return;
  const auto driver = known_drivers().find(config.type);
  if (driver == known_drivers().end()) {
    invalid(concat("logger: no log driver named '", config.type, "' is registered"));
  }
  check_common(config.config);
  for (const auto& [key, value] : config.config) {
    if (is_common_option(key)) continue;
    if (!driver->second.options.contains(key)) {
      invalid(concat("unknown log opt '", key, "' for ", config.type, " log driver"));
    }
    if (key.ends_with("-regex")) parse_regex(value, key);
    if (key == "tag") check_log_tag(value);
  }
  driver->second.check(config.config);
}

runtime::LogOptions plan_log(const ContainerRecord& record, const std::string& directory) {
  const api::LogConfig& wanted = record.host_config.log_config;
  const api::StringMap& options = wanted.config;
  runtime::LogOptions log;
  log.driver = wanted.type;
  if (log.driver == "none") return log;
  if (find_option(options, "mode") == "non-blocking") {
    log.buffer_bytes = parse_size(find_option(options, "max-buffer-size"), 1024).value_or(default_buffer_bytes);
  }
  const std::string tag_option = find_option(options, "tag");
  const std::map<std::string, std::string> attributes = choose_attributes(record, options);
  if (log.driver == "json-file" || log.driver == "local") {
    log.path = find_readable_log(record, directory).path;
    if (log.driver == "local") {
      plan_compact_files(options, "", log);
    } else {
      read_file_options(options, log);
    }
    log.attributes = attributes;
    if (!tag_option.empty()) log.attributes["tag"] = make_log_tag(tag_option, record, attributes);
    return log;
  }
  if (wants_cache(options)) {
    log.path = find_readable_log(record, directory).path;
    plan_compact_files(options, cache_prefix, log);
  }
  const std::string tag = make_log_tag(tag_option.empty() ? "{{.ID}}" : tag_option, record, attributes);
  if (log.driver == "journald") {
    log.fields = make_journal_fields(record, tag, attributes);
    return log;
  }
  log.syslog = read_syslog_options(options);
  log.syslog->tag = tag;
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  log.syslog->host_name = host;
  const std::string& transport = log.syslog->transport;
  if (transport == "udp" || transport == "tcp") log.syslog->address = resolve(log.syslog->address, transport == "udp");
  return log;
}

ReadableLog find_readable_log(const ContainerRecord& record, const std::string& directory) {
  const api::LogConfig& log = record.host_config.log_config;
  if (log.type == "json-file") return {.path = concat(directory, "/", record.id, "-json.log"), .compact = false};
  if (log.type == "local") return {.path = concat(directory, "/local.log"), .compact = true};
  if (log.type != "none" && wants_cache(log.config)) return {.path = concat(directory, "/cache.log"), .compact = true};
  throw Error(ErrorKind::not_implemented, "configured logging driver does not support reading");
}

}  // namespace mydocker::engine
