#include "network/host_files.h"

#include <arpa/inet.h>

#include <algorithm>

#include "engine/base/error.h"

namespace mydocker::network {
namespace {

constexpr std::size_t max_hostname_bytes = 64;  // man 2 sethostname

/// A value that stays one word of one line.
void check_word(std::string_view text, std::string_view what) {
  const bool bad = text.empty() || std::any_of(text.begin(), text.end(), [](char c) {
                     const auto byte = static_cast<unsigned char>(c);
                     return byte <= 0x20 || byte == 0x7f || c == '#' || c == ';';
                   });
  if (bad) throw Error(ErrorKind::invalid_argument, concat("invalid ", what, ": \"", text, "\""));
}

bool is_address(const std::string& text) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, text.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

/// A server of resolv.conf: an address, IPv6 possibly with "%zone".
bool is_server(const std::string& text) { return is_address(text.substr(0, text.find('%'))); }

bool is_loopback(const std::string& text) { return text.starts_with("127.") || text == "::1"; }

std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (true) {
    at = line.find_first_not_of(" \t\r", at);
    if (at == std::string_view::npos) return words;
    const std::size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
    words.emplace_back(line.substr(at, end - at));
    at = end;
  }
}

/// What of the host's file concerns us.
struct HostResolver {
  std::vector<std::string> servers;
  std::vector<std::string> search;
  std::vector<std::string> options;
};

HostResolver parse_resolv_conf(std::string_view text) {
  HostResolver found;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::vector<std::string> words = split_words(text.substr(0, std::min(text.find_first_of("#;"), end)));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.size() < 2) continue;
    if (words[0] == "nameserver" && is_server(words[1])) found.servers.push_back(words[1]);
    // The last search or domain line counts, options add up (man 5 resolv.conf).
    if (words[0] == "search" || words[0] == "domain") found.search.assign(words.begin() + 1, words.end());
    if (words[0] == "options") found.options.insert(found.options.end(), words.begin() + 1, words.end());
  }
  return found;
}

void add_line(std::string& out, std::string_view keyword, const std::vector<std::string>& values) {
  if (values.empty()) return;
  out += keyword;
  for (const std::string& value : values) {
    out.push_back(' ');
    out += value;
  }
  out.push_back('\n');
}

void add_entry(std::string& out, const HostsEntry& entry) {
  if (!is_address(entry.address)) {
    throw Error(ErrorKind::invalid_argument, concat("invalid IP address: \"", entry.address, "\""));
  }
  out += entry.address;
  char separator = '\t';
  for (const std::string& name : entry.names) {
    check_word(name, "host name");
    out.push_back(separator);
    out += name;
    separator = ' ';
  }
  out.push_back('\n');
}

}  // namespace

HostsEntry parse_extra_host(std::string_view text, std::string_view gateway) {
  // The first '=' or ':' ends the name: an IPv6 address has colons of its own.
  const std::size_t equals = text.find('=');
  const std::size_t split = equals != std::string_view::npos ? equals : text.find(':');
  if (split == std::string_view::npos || split == 0 || split + 1 == text.size()) {
    throw Error(ErrorKind::invalid_argument, concat("bad format for add-host: \"", text, "\""));
  }
  std::string address(text.substr(split + 1));
  if (address == "host-gateway") {
    if (gateway.empty()) {
      throw Error(ErrorKind::invalid_argument, "unable to derive the IP value for host-gateway");
    }
    address = gateway;
  }
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  if (!is_address(address)) {
    throw Error(ErrorKind::invalid_argument, concat("invalid IP address in add-host: \"", address, "\""));
  }
  HostsEntry entry{std::move(address), {std::string(text.substr(0, split))}};
  check_word(entry.names.front(), "host name");
  return entry;
}

std::string make_hosts_file(const std::vector<HostsEntry>& extra, const std::vector<HostsEntry>& own,
                            bool ipv6_loopback) {
  std::string out = "127.0.0.1\tlocalhost\n";
  if (ipv6_loopback) {
    out +=
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::\tip6-localnet\n"
        "ff00::\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n";
  }
  for (const HostsEntry& entry : extra) add_entry(out, entry);
  for (const HostsEntry& entry : own) add_entry(out, entry);
  return out;
}

std::string replace_host_address(std::string_view text, std::string_view name, const std::string& address) {
  if (!is_address(address)) throw Error(ErrorKind::invalid_argument, concat("invalid IP address: \"", address, "\""));
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::vector<std::string> words = split_words(line.substr(0, line.find('#')));
    const bool is_its_line = words.size() > 1 && words[1] == name && words[0] != address;
    out += is_its_line ? concat(address, line.substr(line.find(words[0]) + words[0].size())) : std::string(line);
    if (end < text.size()) out.push_back('\n');
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::vector<std::string> make_host_names(std::string_view hostname, std::string_view domain_name) {
  std::vector<std::string> names;
  if (!domain_name.empty()) {
    names.push_back(concat(hostname, '.', domain_name));
    names.emplace_back(hostname);
    return names;
  }
  names.emplace_back(hostname);
  // A dotted host name is its own full name: the short one follows it.
  if (const std::size_t dot = hostname.find('.'); dot != std::string_view::npos && dot > 0) {
    names.emplace_back(hostname.substr(0, dot));
  }
  return names;
}

std::string make_hostname_file(std::string_view hostname) {
  if (hostname.size() > max_hostname_bytes) {
    throw Error(ErrorKind::invalid_argument, concat("invalid hostname: ", hostname));
  }
  check_word(hostname, "hostname");
  return concat(hostname, '\n');
}

std::string make_resolv_conf(std::string_view host_text, const ResolvConfOptions& options) {
  HostResolver resolver = parse_resolv_conf(host_text);
  if (!options.dns.empty()) {
    for (const std::string& server : options.dns) {
      if (!is_server(server)) {
        throw Error(ErrorKind::invalid_argument, concat("invalid IP address in dns: \"", server, "\""));
      }
      check_word(server, "dns server");
    }
    resolver.servers = options.dns;
  } else if (options.own_namespace) {
    std::erase_if(resolver.servers, is_loopback);
    if (resolver.servers.empty()) resolver.servers = {"8.8.8.8", "8.8.4.4"};
  }
  if (!options.search.empty()) {
    for (const std::string& domain : options.search) check_word(domain, "dns search domain");
    resolver.search = options.search;
  }
  std::erase(resolver.search, ".");
  if (!options.options.empty()) {
    for (const std::string& option : options.options) check_word(option, "dns option");
    resolver.options = options.options;
  }

  std::string out;
  for (const std::string& server : resolver.servers) out += concat("nameserver ", server, '\n');
  add_line(out, "search", resolver.search);
  add_line(out, "options", resolver.options);
  return out;
}

}  // namespace mydocker::network
