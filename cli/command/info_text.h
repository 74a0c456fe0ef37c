#pragma once

#include <optional>
#include <string>

#include "api/types/system.h"
#include "cli/command.h"

/// The texts of `version` and `info`. Pure but for client_facts.
namespace mydocker::cli {

/// What `version` says about this program.
struct ClientFacts {
  std::string version;
  std::string api_version;          ///< what is spoken: the older of ours and the engine's
  std::string default_api_version;  ///< the newest that we know
  std::string git_commit;
  std::string go_version;
  std::string os;
  std::string arch;
  std::string build_time;
  std::string context;

  static constexpr auto json_fields() {
    using T = ClientFacts;
    return std::tuple(field_omit_empty("Version", &T::version), field_omit_empty("ApiVersion", &T::api_version),
                      field_omit_empty("DefaultAPIVersion", &T::default_api_version),
                      field_omit_empty("GitCommit", &T::git_commit), field_omit_empty("GoVersion", &T::go_version),
                      field_omit_empty("Os", &T::os), field_omit_empty("Arch", &T::arch),
                      field_omit_empty("BuildTime", &T::build_time), field_omit_empty("Context", &T::context));
  }
};

ClientFacts client_facts(const Session& session, const std::string& server_api_version);
std::string version_text(const ClientFacts& client, const std::optional<api::Version>& server);
json::value server_version_json(const api::Version& server);
std::string client_info_text(const ClientFacts& client, bool debug);
json::value client_info_json(const ClientFacts& client, bool debug);
std::string server_info_text(const api::Info& info);

}  // namespace mydocker::cli
