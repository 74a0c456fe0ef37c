#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/config_file.h"

/// What a command is made of, and what it gets. Commands are rows of tables in command/*.cpp.
namespace mydocker::cli {

inline constexpr std::string_view program_name = "mydocker";
inline constexpr std::string_view client_version = "28.5.0";

/// Everything that the global flags and the user's configuration decided.
struct Session {
  std::unique_ptr<Client> client;
  ConfigFile config;
  std::string config_directory;
  std::string context_name = "default";
  std::string invoked;  ///< "container ls": the words that named the command
  bool debug = false;

  Client& api() { return *client; }
};

/// Ends the program with this code. The message, if any, goes to stderr as it is.
class CommandFailure : public Error {
 public:
  CommandFailure(int exit_code, std::string message)
      : Error(ErrorKind::internal, std::move(message)), exit_code_(exit_code) {}
  int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

inline constexpr int no_limit = -1;

struct Command {
  std::string_view name;     ///< "run", "network ls"
  std::string_view usage;    ///< "[OPTIONS] IMAGE [COMMAND] [ARG...]"
  std::string_view summary;  ///< one line
  int least_arguments = 0;
  int most_arguments = no_limit;
  Grammar grammar = Grammar::mixed;
  std::span<const Flag> flags;
  /// The exit code.
  int (*run)(Session& session, const Arguments& arguments) = nullptr;
};

/// Runs `act` for each name, prints what it returns to stdout (if anything) and errors to stderr, goes on after an
/// error. The exit code: 0, or 1 when any failed.
int for_each_name(const std::vector<std::string>& names,
                  const std::function<std::optional<std::string>(const std::string&)>& act);

/// The value of the API's `filters` parameter for repeated --filter key=value; "" when there are none.
std::string make_filters(const std::vector<std::string>& filters);

/// Names the tables of command/*.cpp.
std::span<const Command> container_run_commands();
std::span<const Command> container_session_commands();
std::span<const Command> container_lifecycle_commands();
std::span<const Command> container_list_commands();
std::span<const Command> container_show_commands();
std::span<const Command> container_file_commands();
std::span<const Command> image_list_commands();
std::span<const Command> image_transfer_commands();
std::span<const Command> image_change_commands();
std::span<const Command> inspect_commands();
std::span<const Command> system_commands();
std::span<const Command> system_disk_commands();
std::span<const Command> diagnose_commands();
std::span<const Command> network_commands();
std::span<const Command> volume_commands();

}  // namespace mydocker::cli
