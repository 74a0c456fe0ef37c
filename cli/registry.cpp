#include "cli/registry.h"

#include <algorithm>
#include <array>

#include "cli/units.h"

namespace mydocker::cli {
namespace {

struct Alias {
  std::string_view words;
  std::string_view command;
};

// Management forms whose second word is not the short command's name. `container X` and `image X` are X otherwise.
constexpr Alias aliases[] = {
    {"container ls", "ps"},
    {"container list", "ps"},
    {"container ps", "ps"},
    {"container remove", "rm"},
    {"image ls", "images"},
    {"image list", "images"},
    {"image rm", "rmi"},
    {"image remove", "rmi"},
    {"network list", "network ls"},
    {"network remove", "network rm"},
    {"volume list", "volume ls"},
    {"volume remove", "volume rm"},
    {"system info", "info"},
    {"system events", "events"},
    {"context list", "context ls"},
};

struct Group {
  std::string_view name;
  std::string_view summary;
  std::string_view members;  ///< short commands that are reached through the group too
};

constexpr Group groups[] = {
    {"container", "Manage containers",
     " attach commit cp create diff exec export kill logs pause port rename restart rm run start stats stop top "
     "unpause update wait "},
    {"context", "Manage contexts", ""},
    {"image", "Manage images", " history import load pull push save tag "},
    {"network", "Manage networks", ""},
    {"system", "Manage the engine", ""},
    {"volume", "Manage volumes", ""},
};

constexpr std::string_view common_commands = " run exec ps pull push images version info ";

std::vector<std::span<const Command>> all_tables() {
  return {container_run_commands(),
          container_session_commands(),
          container_lifecycle_commands(),
          container_list_commands(),
          container_show_commands(),
          container_file_commands(),
          image_list_commands(),
          image_transfer_commands(),
          image_change_commands(),
          inspect_commands(),
          system_commands(),
          system_disk_commands(),
          diagnose_commands(),
          network_commands(),
          volume_commands()};
}

const Command* find_by_name(std::string_view name) {
  for (const auto table : all_tables()) {
    for (const Command& command : table) {
      if (command.name == name) return &command;
    }
  }
  return nullptr;
}

const Group* find_group(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(groups), std::end(groups), [name](const Group& group) { return group.name == name; });
  return found == std::end(groups) ? nullptr : found;
}

std::string pad(std::string text, std::size_t width) {
  if (const std::size_t size = count_characters(text); size < width) text.append(width - size, ' ');
  return text;
}

std::string wrap(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = indent;
  std::size_t start = 0;
  while (start < text.size()) {
    std::size_t end = text.find(' ', start);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view word = text.substr(start, end - start);
    if (column > indent && column + 1 + word.size() > width) {
      out += concat("\n", std::string(indent, ' '));
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    start = end + 1;
  }
  return out;
}

std::string flags_help(std::span<const Flag> flags, bool with_help) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Flag& flag : flags) {
    if (flag.hidden) continue;
    std::string left =
        flag.shorthand != 0 ? concat("  -", flag.shorthand, ", --", flag.name) : concat("      --", flag.name);
    if (flag.kind != FlagKind::boolean) left += concat(" ", flag.type.empty() ? "string" : flag.type);
    rows.emplace_back(std::move(left), flag.help);
  }
  if (with_help) rows.emplace_back("      --help", "Print usage");
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.first.substr(a.first.find("--")) < b.first.substr(b.first.find("--"));
  });
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  std::string out;
  for (const auto& [left, help] : rows) out += concat(pad(left, width + 3), wrap(help, width + 3, 100), "\n");
  return out;
}

std::string command_rows(std::vector<std::pair<std::string, std::string>> rows) {
  std::sort(rows.begin(), rows.end());
  std::size_t width = 9;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  std::string out;
  for (const auto& [name, summary] : rows) out += concat("  ", pad(name, width + 3), summary, "\n");
  return out;
}

bool contains_word(std::string_view list, std::string_view word) {
  return list.find(concat(" ", word, " ")) != std::string_view::npos;
}

std::vector<std::string> all_names(const Command& command) {
  std::vector<std::string> out{std::string(command.name)};
  for (const Alias& alias : aliases) {
    if (alias.command == command.name) out.emplace_back(alias.words);
  }
  for (const Group& group : groups) {
    if (contains_word(group.members, command.name)) out.push_back(concat(group.name, " ", command.name));
  }
  return out;
}

}  // namespace

std::span<const Flag> global_flags() {
  static constexpr Flag flags[] = {
      {"config", 0, FlagKind::single, "string", "Location of client config files"},
      {"context", 'c', FlagKind::single, "string",
       "Name of the context to use to connect to the engine (overrides DOCKER_HOST)"},
      {"debug", 'D', FlagKind::boolean, "", "Enable debug mode"},
      {"host", 'H', FlagKind::list, "list", "Engine socket to connect to"},
      {"log-level", 'l', FlagKind::single, "string",
       "Logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")"},
      {"tls", 0, FlagKind::boolean, "", "Use TLS; implied by --tlsverify"},
      {"tlscacert", 0, FlagKind::single, "string", "Trust certs signed only by this CA"},
      {"tlscert", 0, FlagKind::single, "string", "Path to TLS certificate file"},
      {"tlskey", 0, FlagKind::single, "string", "Path to TLS key file"},
      {"tlsverify", 0, FlagKind::boolean, "", "Use TLS and verify the remote"},
      {"version", 'v', FlagKind::boolean, "", "Print version information and quit"},
  };
  return flags;
}

bool is_group(std::string_view word) { return find_group(word) != nullptr; }

FoundCommand find_command(const std::vector<std::string>& words) {
  if (words.empty()) return {};
  const Group* group = find_group(words[0]);
  if (group == nullptr) return {find_by_name(words[0]), 1, ""};
  if (words.size() == 1 || words[1].starts_with('-')) return {nullptr, 1, words[0]};
  const std::string both = concat(words[0], " ", words[1]);
  const auto* alias =
      std::find_if(std::begin(aliases), std::end(aliases), [&](const Alias& row) { return row.words == both; });
  if (alias != std::end(aliases)) return {find_by_name(alias->command), 2, words[0]};
  if (const Command* command = find_by_name(both)) return {command, 2, words[0]};
  if (contains_word(group->members, words[1])) return {find_by_name(words[1]), 2, words[0]};
  return {nullptr, 2, words[0]};
}

std::string usage_line(const Command& command, std::string_view invoked) {
  return concat("Usage:  ", program_name, " ", invoked, command.usage.empty() ? "" : " ", command.usage);
}

std::string command_help(const Command& command, std::string_view invoked) {
  std::string out = concat(usage_line(command, invoked), "\n\n", command.summary, "\n");
  const std::vector<std::string> names = all_names(command);
  if (names.size() > 1) {
    out += "\nAliases:\n  ";
    for (std::size_t at = 0; at < names.size(); ++at) out += concat(at > 0 ? ", " : "", program_name, " ", names[at]);
    out += '\n';
  }
  const std::string flags = flags_help(command.flags, false);
  if (!flags.empty()) out += concat("\nOptions:\n", flags);
  return out;
}

std::string group_help(std::string_view name) {
  const Group& group = *find_group(name);
  std::vector<std::pair<std::string, std::string>> rows;
  const std::string prefix = concat(name, " ");
  for (const auto table : all_tables()) {
    for (const Command& command : table) {
      if (command.name.starts_with(prefix)) rows.emplace_back(command.name.substr(prefix.size()), command.summary);
      if (contains_word(group.members, command.name)) rows.emplace_back(command.name, command.summary);
    }
  }
  for (const Alias& alias : aliases) {
    const bool main_form = alias.words.ends_with(" ls") || alias.words.ends_with(" rm") || name == "system";
    if (!alias.words.starts_with(prefix) || !main_form) continue;
    rows.emplace_back(alias.words.substr(prefix.size()), find_by_name(alias.command)->summary);
  }
  return concat("Usage:  ", program_name, " ", name, " COMMAND\n\n", group.summary, "\n\nCommands:\n",
                command_rows(rows), "\nRun '", program_name, " ", name,
                " COMMAND --help' for more information on a command.\n");
}

std::string main_help() {
  std::vector<std::pair<std::string, std::string>> common;
  std::vector<std::pair<std::string, std::string>> others;
  std::vector<std::pair<std::string, std::string>> management;
  for (const auto table : all_tables()) {
    for (const Command& command : table) {
      if (command.name.find(' ') != std::string_view::npos) continue;
      (contains_word(common_commands, command.name) ? common : others).emplace_back(command.name, command.summary);
    }
  }
  for (const Group& group : groups) management.emplace_back(group.name, group.summary);
  return concat("Usage:  ", program_name, " [OPTIONS] COMMAND\n\nRuns containers: a client of the mydocker engine\n",
                "\nCommon Commands:\n", command_rows(common), "\nManagement Commands:\n", command_rows(management),
                "\nCommands:\n", command_rows(others), "\nGlobal Options:\n", flags_help(global_flags(), false),
                "\nRun '", program_name, " COMMAND --help' for more information on a command.\n");
}

}  // namespace mydocker::cli
