#include "cli/options/publish.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "cli/options/words.h"
#include "engine/base/template/template.h"

namespace mydocker::cli {
namespace {

using text_template::go_quote;

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};

// Go's words about a bad number; "" = it is one.
std::string parse_port(std::string_view text, std::uint16_t& out) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failure == std::errc::result_out_of_range) {
    return concat("strconv.ParseUint: parsing ", go_quote(text), ": value out of range");
  }
  if (failure != std::errc{} || end != text.data() + text.size()) {
    return concat("strconv.ParseUint: parsing ", go_quote(text), ": invalid syntax");
  }
  return {};
}

std::string parse_range(std::string_view text, PortRange& out) {
  if (text.empty()) return "empty string specified for ports";
  const std::size_t dash = text.find('-');
  if (std::string error = parse_port(text.substr(0, dash), out.first); !error.empty()) return error;
  out.last = out.first;
  if (dash == std::string_view::npos) return {};
  if (std::string error = parse_port(text.substr(dash + 1), out.last); !error.empty()) return error;
  return out.last < out.first ? concat("invalid range specified for port: ", text) : std::string();
}

// "80/udp" -> port and protocol; a missing protocol is tcp.
std::pair<std::string_view, std::string> split_protocol(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view port = text.substr(0, slash);
  if (port.empty()) return {};
  std::string_view protocol = slash == std::string_view::npos ? "" : text.substr(slash + 1);
  protocol = protocol.substr(0, protocol.find('/'));
  return {port, protocol.empty() ? "tcp" : to_lower(protocol)};
}

// "target=80,published=8080,protocol=udp" in the short form.
std::string shorten(std::string_view text) {
  std::string target, published, protocol = "tcp";
  for (const std::string& part : split(text, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) {
      throw invalid_option("invalid publish opts format (should be name=value but got '", part, "')");
    }
    const std::string name = part.substr(0, equals);
    const std::string value = part.substr(equals + 1);
    if (name == "target") target = value;
    if (name == "published") published = value;
    if (name == "protocol") protocol = value;
  }
  return concat(published, published.empty() ? "" : ":", target, "/", protocol);
}

}  // namespace

bool is_ip_address(std::string_view text) {
  unsigned char address[16];
  const std::string terminated(text);
  return ::inet_pton(AF_INET, terminated.c_str(), address) == 1 ||
         ::inet_pton(AF_INET6, terminated.c_str(), address) == 1;
}

void add_published(std::string_view specification, api::PortMap& bindings, api::NameSet& exposed) {
  if (specification.find('=') != std::string_view::npos) {
    add_published(shorten(specification), bindings, exposed);
    return;
  }
  const std::size_t last_colon = specification.rfind(':');
  const bool alone = last_colon == std::string_view::npos;
  const std::string_view container_part = alone ? specification : specification.substr(last_colon + 1);
  const std::string_view rest = alone ? std::string_view{} : specification.substr(0, last_colon);
  const std::size_t host_colon = rest.rfind(':');
  const std::string_view host = host_colon == std::string_view::npos ? rest : rest.substr(host_colon + 1);
  std::string_view ip = host_colon == std::string_view::npos ? std::string_view{} : rest.substr(0, host_colon);
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  if (!ip.empty() && !is_ip_address(ip)) throw invalid_option("invalid IP address: ", ip);

  const auto [port, protocol] = split_protocol(container_part);
  if (port.empty()) throw invalid_option("no port specified: ", specification, "<empty>");
  PortRange inside, outside;
  if (!parse_range(port, inside).empty()) throw invalid_option("invalid containerPort: ", port);
  if (!host.empty() && !parse_range(host, outside).empty()) throw invalid_option("invalid hostPort: ", host);
  const int inside_count = inside.last - inside.first;
  if (!host.empty() && inside_count != outside.last - outside.first && inside_count != 0) {
    throw invalid_option("invalid ranges specified for container and host Ports: ", port, " and ", host);
  }
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") throw invalid_option("invalid proto: ", protocol);

  for (int offset = 0; offset <= inside_count; ++offset) {
    const std::string key = concat(inside.first + offset, "/", protocol);
    api::PortBinding binding;
    binding.host_ip = std::string(ip);
    if (!host.empty()) {
      const bool any_of_range = inside_count == 0 && outside.first != outside.last;
      binding.host_port = any_of_range ? std::string(host) : std::to_string(outside.first + offset);
    }
    exposed[key];
    auto& list = bindings[key];
    if (!list) list.emplace();
    list->push_back(std::move(binding));
  }
}

void add_exposed(std::string_view specification, api::NameSet& exposed) {
  if (specification.find(':') != std::string_view::npos) {
    throw invalid_option("invalid port format for --expose: ", specification);
  }
  const auto [port, protocol] = split_protocol(specification);
  PortRange range;
  if (const std::string error = parse_range(port, range); !error.empty()) {
    throw invalid_option("invalid range format for --expose: ", specification, ", error: ", error);
  }
  for (int number = range.first; number <= range.last; ++number) exposed[concat(number, "/", protocol)];
}

}  // namespace mydocker::cli
