#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

/// All commands, their other names ("container ls" = "ps"), and the help texts.
namespace mydocker::cli {

/// A command found in the words of a command line, and how many words named it.
struct FoundCommand {
  const Command* command = nullptr;
  std::size_t words = 0;
  std::string group;  ///< a management word without a command behind it: "container"
};

FoundCommand find_command(const std::vector<std::string>& words);

/// "Usage:  mydocker run [OPTIONS] IMAGE [COMMAND] [ARG...]"
std::string usage_line(const Command& command, std::string_view invoked);
std::string command_help(const Command& command, std::string_view invoked);
std::string group_help(std::string_view group);
std::string main_help();
bool is_group(std::string_view word);

std::span<const Flag> global_flags();

}  // namespace mydocker::cli
