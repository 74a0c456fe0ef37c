#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/types/json.h"

/// The CLI's own settings: ~/.docker/config.json and the contexts beside it, in Docker's formats. Blocking file reads.
namespace mydocker::cli {

struct StoredLogin {
  std::string auth;  ///< base64 of user:password
  std::string username;
  std::string password;
  std::string identity_token;

  static constexpr auto json_fields() {
    using T = StoredLogin;
    return std::tuple(field_omit_empty("auth", &T::auth), field_omit_empty("username", &T::username),
                      field_omit_empty("password", &T::password),
                      field_omit_empty("identitytoken", &T::identity_token));
  }
};

struct ProxySettings {
  std::string http;
  std::string https;
  std::string no;
  std::string ftp;
  std::string all;

  static constexpr auto json_fields() {
    using T = ProxySettings;
    return std::tuple(field_omit_empty("httpProxy", &T::http), field_omit_empty("httpsProxy", &T::https),
                      field_omit_empty("noProxy", &T::no), field_omit_empty("ftpProxy", &T::ftp),
                      field_omit_empty("allProxy", &T::all));
  }
};

struct ConfigFile {
  std::map<std::string, StoredLogin> logins;
  api::StringMap http_headers;
  std::string ps_format;
  std::string images_format;
  std::string networks_format;
  std::string volumes_format;
  std::string stats_format;
  std::string detach_keys;
  std::string current_context;
  std::map<std::string, ProxySettings> proxies;

  static constexpr auto json_fields() {
    using T = ConfigFile;
    return std::tuple(
        field_omit_empty("auths", &T::logins), field_omit_empty("HttpHeaders", &T::http_headers),
        field_omit_empty("psFormat", &T::ps_format), field_omit_empty("imagesFormat", &T::images_format),
        field_omit_empty("networksFormat", &T::networks_format), field_omit_empty("volumesFormat", &T::volumes_format),
        field_omit_empty("statsFormat", &T::stats_format), field_omit_empty("detachKeys", &T::detach_keys),
        field_omit_empty("currentContext", &T::current_context), field_omit_empty("proxies", &T::proxies));
  }
};

/// An absent file is an empty configuration. A broken one throws Error{invalid_argument} naming the file.
ConfigFile read_config_file(const std::string& directory);

/// One entry of `context ls`.
struct Context {
  std::string name;
  std::string description;
  std::string host;
};

/// All stored contexts, by name; "default" is not among them.
std::vector<Context> read_contexts(const std::string& directory);

/// The value of X-Registry-Auth for a registry ("docker.io", "127.0.0.1:5000"): base64url of the login, or of {}.
std::string registry_auth_header(const ConfigFile& config, const std::string& registry);
/// The registry of an image reference: "docker.io" for short names.
std::string registry_of(std::string_view reference);

}  // namespace mydocker::cli
