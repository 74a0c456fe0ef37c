#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/types/container.h"

/// --env, --label, their files, --security-opt, --network, --add-host, --cap-*, --sysctl. Reads the files that options
/// name and the environment; every function throws Error{invalid_argument} in Docker's words.
namespace mydocker::cli {

/// "A=1" as it is; "A" takes the value from our environment, or stays "A" when there is none.
std::string resolve_environment(std::string_view text);
std::vector<std::string> read_environment_file(const std::string& path);
std::vector<std::string> read_label_file(const std::string& path);
/// "k=v" words as a map; a word without = has the value "".
api::StringMap to_map(const std::vector<std::string>& words);

/// Inlines seccomp profiles; "systempaths=unconfined" is taken out and empties both path lists.
void apply_security_options(const std::vector<std::string>& options, api::HostConfig& host);
/// "net_admin" -> "CAP_NET_ADMIN"; sorted, without repetitions; what is added is not dropped.
void apply_capabilities(const std::vector<std::string>& add, const std::vector<std::string>& drop,
                        api::HostConfig& host);

/// "bridge", "name=web,alias=db,ip=1.2.3.4".
struct NetworkOption {
  std::string target;
  api::EndpointSettings endpoint;
};
NetworkOption parse_network(std::string_view text);
/// "name:ip", "name=ip", "name:host-gateway" -> "name:ip".
std::string parse_extra_host(std::string_view text);

void check_environment(std::string_view text);
void check_network(std::string_view text);
void check_extra_host(std::string_view text);
void check_ip(std::string_view text);
void check_attach(std::string_view text);
void check_sysctl(std::string_view text);
void check_label(std::string_view text);
void check_search_domain(std::string_view text);
void check_link(std::string_view text);
/// "02:42:ac:11:00:02" and the other forms of six bytes.
bool is_mac_address(std::string_view text);

}  // namespace mydocker::cli
