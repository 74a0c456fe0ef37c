#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/types/container.h"

/// -p and --expose. Pure. Every function throws Error{invalid_argument} in Docker's words.
namespace mydocker::cli {

/// "8080:80", "127.0.0.1::80/udp", "[::1]:80:80", "8000-8010:80", "target=80,published=8080": adds bindings and exposed
/// ports.
void add_published(std::string_view specification, api::PortMap& bindings, api::NameSet& exposed);
/// "80", "80/udp", "80-82".
void add_exposed(std::string_view specification, api::NameSet& exposed);
/// A numeric IPv4 or IPv6 address.
bool is_ip_address(std::string_view text);

}  // namespace mydocker::cli
