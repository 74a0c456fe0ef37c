#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/log.h"
#include "engine/options.h"

/// What mydockerd is told: defaults, then daemon.json, then flags (Docker's names; DESIGN 6). Parsed once, then
/// immutable. Pure but for reading the file.
namespace mydocker::daemon {

struct Config {
  engine::Options engine;
  /// "unix:///run/mydocker.sock", "tcp://0.0.0.0:2376" (with tls_verify only), "fd://"; empty = the default
  std::vector<std::string> hosts;
  bool tls_verify = false;  ///< clients of TCP show a certificate of tls_ca
  std::string tls_ca = "/etc/mydocker/tls/ca.pem";
  std::string tls_certificate = "/etc/mydocker/tls/cert.pem";
  std::string tls_key = "/etc/mydocker/tls/key.pem";
  std::string metrics_address;   ///< "127.0.0.1:9323": GET /metrics in plain HTTP and nothing else; "" = not served
  std::string group = "docker";  ///< owner of the socket beside root; a missing default group is root's
  bool group_was_set = false;
  std::string pidfile;  ///< "" = <exec-root>/mydockerd.pid
  std::string config_file = "/etc/mydocker/daemon.json";
  bool config_file_was_set = false;
  log::Level log_level = log::Level::info;
  std::map<std::string, std::string> given;  ///< key of daemon.json -> what flag or file said, as text
  bool validate = false;
  bool show_version = false;
  bool show_help = false;
};

inline constexpr std::string_view default_host = "unix:///run/mydocker.sock";

/// `arguments` without the program's name. Reads the configuration file: a missing one matters only when --config-file
/// names it. Throws Error{invalid_argument} for unknown flags and keys, bad values, a setting in both places, and for
/// what this engine does not do.
Config parse_config(const std::vector<std::string>& arguments);

/// The directives of daemon.json on top of `config`. `from_flags` are the keys that flags gave: the same key here is an
/// error. Throws as parse_config.
void apply_config_file(std::string_view text, const std::vector<std::string>& from_flags, Config& config);

/// The keys in which two configurations differ and which need a new start of the engine to take effect: what a reload
/// cannot take over (Docker's list of what can: debug, labels, runtimes, registries, limits of transfers ...). Pure.
std::vector<std::string> find_fixed_changes(const Config& running, const Config& fresh);

/// The text of --help.
std::string make_help();

}  // namespace mydocker::daemon
