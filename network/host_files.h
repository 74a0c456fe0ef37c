#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The texts of a container's /etc/hosts, /etc/hostname and /etc/resolv.conf (WIRE 24). Pure; any thread; nothing
/// blocks. Names and values come from requests: control bytes and blanks in them throw Error{invalid_argument}, so that
/// no line can be forged (SECURITY L1).
namespace mydocker::network {

/// One line of a hosts file.
struct HostsEntry {
  std::string address;             ///< IPv4 or IPv6
  std::vector<std::string> names;  ///< at least one
};

/// "name:address" or "name=address" of --add-host; the address "host-gateway" becomes `gateway`.
/// Throws Error{invalid_argument} `bad format for add-host: "a"` and `invalid IP address in add-host: "x"`.
HostsEntry parse_extra_host(std::string_view text, std::string_view gateway);

/// The localhost lines, then `extra`, then `own` (one entry per network: address, "hostname.domain hostname").
std::string make_hosts_file(const std::vector<HostsEntry>& extra, const std::vector<HostsEntry>& own,
                            bool ipv6_loopback = true);

/// The text with `address` in every line that names `name` first; all else stays as it is, byte for byte.
/// Throws Error{invalid_argument} when `address` is none.
std::string replace_host_address(std::string_view text, std::string_view name, const std::string& address);

/// The names of a container for its own line: "web.example.org web", or the host name alone.
std::vector<std::string> make_host_names(std::string_view hostname, std::string_view domain_name);

/// "name\n". Throws Error{invalid_argument} "invalid hostname: x" for more than 64 bytes or bad characters.
std::string make_hostname_file(std::string_view hostname);

struct ResolvConfOptions {
  std::vector<std::string> dns;      ///< servers; replaces the host's
  std::vector<std::string> search;   ///< replaces the host's; {"."} = none
  std::vector<std::string> options;  ///< replaces the host's
  /// Loopback servers of the host cannot be reached from a namespace of its own: they are left out, and 8.8.8.8 and
  /// 8.8.4.4 stand in when no other is left. false for the host network.
  bool own_namespace = true;
};

/// The host's file with the request's values in place of its own.
std::string make_resolv_conf(std::string_view host_text, const ResolvConfOptions& options);

}  // namespace mydocker::network
