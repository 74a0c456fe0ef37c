#include "cli/config_file.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "api/types/system.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr std::string_view hub_key = "https://index.docker.io/v1/";

struct ContextEndpoint {
  std::string host;

  static constexpr auto json_fields() { return std::tuple(field_omit_empty("Host", &ContextEndpoint::host)); }
};

struct ContextMetadata {
  std::string description;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("Description", &ContextMetadata::description));
  }
};

struct ContextFile {
  std::string name;
  ContextMetadata metadata;
  std::map<std::string, ContextEndpoint> endpoints;

  static constexpr auto json_fields() {
    return std::tuple(field("Name", &ContextFile::name), field("Metadata", &ContextFile::metadata),
                      field("Endpoints", &ContextFile::endpoints));
  }
};

// "https://host:5000/v1/" and "host:5000" are the same registry.
std::string registry_host(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  std::string host(key.substr(0, key.find('/')));
  return host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host;
}

api::AuthConfig make_auth(const StoredLogin& login, const std::string& server) {
  api::AuthConfig auth;
  auth.username = login.username;
  auth.password = login.password;
  auth.identity_token = login.identity_token;
  auth.server_address = server;
  if (const auto decoded = base64_decode(login.auth); decoded && !decoded->empty()) {
    const std::size_t colon = decoded->find(':');
    if (colon != std::string::npos) {
      auth.username = decoded->substr(0, colon);
      auth.password = decoded->substr(colon + 1);
      while (auth.password.ends_with('\0')) auth.password.pop_back();
    }
  }
  return auth;
}

}  // namespace

ConfigFile read_config_file(const std::string& directory) {
  const std::string path = directory + "/config.json";
  const auto text = find_file_at(AT_FDCWD, path);
  if (!text) return {};
  try {
    return from_json<ConfigFile>(parse_json(*text));
  } catch (Error& error) {
    error.add_context("WARNING: Error loading config file: " + path);
    throw;
  }
}

std::vector<Context> read_contexts(const std::string& directory) {
  std::vector<Context> out;
  const std::string meta = directory + "/contexts/meta";
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(meta.c_str()), ::closedir);
  if (!listing) return out;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (entry->d_name[0] == '.') continue;
    const auto text = find_file_at(AT_FDCWD, concat(meta, "/", std::string_view(entry->d_name), "/meta.json"));
    if (!text) continue;
    const auto file = from_json<ContextFile>(parse_json(*text));
    const auto endpoint = file.endpoints.find("docker");
    out.push_back(
        {file.name, file.metadata.description, endpoint == file.endpoints.end() ? "" : endpoint->second.host});
  }
  std::sort(out.begin(), out.end(), [](const Context& a, const Context& b) { return a.name < b.name; });
  return out;
}

std::string registry_of(std::string_view reference) {
  const std::size_t slash = reference.find('/');
  const std::string_view first = reference.substr(0, slash);
  const bool host =
      slash != std::string_view::npos && (first.find_first_of(".:") != std::string_view::npos || first == "localhost");
  if (!host || first == "index.docker.io") return "docker.io";
  return std::string(first);
}

std::string registry_auth_header(const ConfigFile& config, const std::string& registry) {
  for (const auto& [key, login] : config.logins) {
    if (registry_host(key) != registry) continue;
    const std::string server = registry == "docker.io" ? std::string(hub_key) : registry;
    return base64_encode(write_json(to_json(make_auth(login, server))), true);
  }
  return base64_encode("{}", true);
}

std::string base64_encode(std::string_view bytes, bool url_safe) {
  std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (url_safe) alphabet.replace(62, 2, "-_");
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t index = 0; index < 3; ++index) {
      group = group << 8 | (at + index < bytes.size() ? static_cast<unsigned char>(bytes[at + index]) : 0U);
    }
    for (std::size_t index = 0; index < 4; ++index) {
      out += at + index <= bytes.size() ? alphabet[group >> (18 - 6 * index) & 63] : '=';
    }
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=' || c == '\n' || c == '\r') continue;
    std::uint32_t value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<std::uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<std::uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      value = static_cast<std::uint32_t>(c - '0' + 52);
    } else if (c == '+' || c == '-') {
      value = 62;
    } else if (c == '/' || c == '_') {
      value = 63;
    } else {
      return std::nullopt;
    }
    bits = (bits << 6 | value) & 0xFFFFFF;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return out;
}

}  // namespace mydocker::cli
