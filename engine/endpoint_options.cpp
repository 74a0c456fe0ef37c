#include "engine/endpoint_options.h"

#include <algorithm>
#include <set>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

constexpr std::string_view interface_key = "com.docker.network.endpoint.ifname";
constexpr std::string_view sysctls_key = "com.docker.network.endpoint.sysctls";
constexpr std::size_t longest_interface = 15;  ///< IFNAMSIZ, without its end

[[noreturn]] void invalid(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// The kernel would take nearly every byte; these are the names that other programs can work with.
std::string check_interface(const std::string& name) {
  static const std::set<std::string> taken = {".", "..", "lo", "all", "default"};
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-'; };
  if (name.empty() || name.size() > longest_interface || taken.contains(name) ||
      !std::all_of(name.begin(), name.end(), plain)) {
    invalid(concat("invalid interface name \"", name, "\" in DriverOpts of an endpoint"));
  }
  return name;
}

/// Of this link only: whatever else a namespace has is HostConfig.Sysctls' business.
network::LinkSysctl parse_sysctl(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::vector<std::string> words = split(text.substr(0, equals), '.');
  static const std::set<std::string> families = {"ipv4", "ipv6", "mpls"};
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  const bool good = equals != std::string::npos && words.size() == 5 && words[0] == "net" &&
                    families.contains(words[1]) && (words[2] == "conf" || words[2] == "neigh") &&
                    words[3] == "IFNAME" && !words[4].empty() && std::all_of(words[4].begin(), words[4].end(), plain);
  if (!good) {
    invalid(concat("invalid endpoint sysctl \"", text,
                   "\": it has the form net.ipv4.conf.IFNAME.name=value, or ipv6, mpls, neigh"));
  }
  return {.group = concat(words[1], '/', words[2]), .name = words[4], .value = text.substr(equals + 1)};
}

}  // namespace

EndpointOptions parse_endpoint_options(const api::StringMap& options) {
  EndpointOptions out;
  for (const auto& [key, value] : options) {
    if (key == interface_key) {
      out.interface = check_interface(value);
    } else if (key == sysctls_key) {
      for (const std::string& sysctl : split(value, ',')) out.sysctls.push_back(parse_sysctl(sysctl));
    } else {
      invalid(concat("DriverOpts of an endpoint: \"", key, "\" is not supported"));
    }
  }
  return out;
}

}  // namespace mydocker::engine
