#include "cli/config_file.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "api/types/system.h"
#include "engine/base/base64.h"
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
  if (const auto decoded = decode_base64(login.auth); decoded && !decoded->empty()) {
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
    return encode_base64url(write_json(to_json(make_auth(login, server))));
  }
  return encode_base64url("{}");
}

}  // namespace mydocker::cli
