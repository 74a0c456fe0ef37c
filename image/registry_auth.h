#pragma once

#include <string>

namespace mydocker::image {

/// Credentials of one request (WIRE 22). Secrets: never logged, never in an error (SECURITY R20).
struct RegistryAuth {
  std::string username;
  std::string password;
  std::string identity_token;  ///< OAuth2 refresh token
  std::string registry_token;  ///< bearer, sent as is
  std::string server_address;

  bool empty() const {
    return username.empty() && password.empty() && identity_token.empty() && registry_token.empty();
  }
};

}  // namespace mydocker::image
