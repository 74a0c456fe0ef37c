#include "runtime/user.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr std::size_t file_limit = std::size_t{1} << 20;
constexpr std::uint64_t highest_id = 2147483647;
constexpr std::size_t group_limit = 65536;  // NGROUPS_MAX

struct PasswdEntry {
  std::string_view name;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string_view home;
};

struct GroupEntry {
  std::string_view name;
  std::uint32_t gid = 0;
  std::string_view members;
};

bool looks_like_number(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// nullopt: not digits only, or beyond 2147483647. Never wraps.
std::optional<std::uint32_t> parse_id(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
    if (value > highest_id) return std::nullopt;
  }
  return static_cast<std::uint32_t>(value);
}

std::uint32_t parse_id_or_throw(std::string_view text) {
  if (const auto id = parse_id(text)) return *id;
  throw Error(ErrorKind::invalid_argument, concat("uids and gids must be in range 0-2147483647, not ", text));
}

/// Calls `visit` with the fields of each line until it returns true. A line with a NUL or too few fields is skipped.
template <std::size_t Count, typename Visit>
void for_each_line(std::string_view text, Visit&& visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find('\0') != std::string_view::npos) continue;
    std::array<std::string_view, Count> fields{};
    std::size_t found = 0;
    while (found < Count) {
      const std::size_t colon = found + 1 == Count ? line.size() : std::min(line.find(':'), line.size());
      fields[found++] = line.substr(0, colon);
      if (colon == line.size()) break;
      line.remove_prefix(colon + 1);
    }
    if (found == Count && visit(fields)) return;
  }
}

template <typename Match>
std::optional<PasswdEntry> find_user(std::string_view passwd, Match&& match) {
  std::optional<PasswdEntry> result;
  for_each_line<7>(passwd, [&](const auto& fields) {
    const auto uid = parse_id(fields[2]);
    const auto gid = parse_id(fields[3]);
    if (!uid || !gid || !match(fields[0], *uid)) return false;
    result = PasswdEntry{fields[0], *uid, *gid, fields[5]};
    return true;
  });
  return result;
}

template <typename Visit>
void for_each_group(std::string_view group, Visit&& visit) {
  for_each_line<4>(group, [&](const auto& fields) {
    const auto gid = parse_id(fields[2]);
    return gid && visit(GroupEntry{fields[0], *gid, fields[3]});
  });
}

std::uint32_t resolve_group(std::string_view group_file, const std::string& group) {
  if (looks_like_number(group)) return parse_id_or_throw(group);
  std::optional<std::uint32_t> gid;
  for_each_group(group_file, [&](const GroupEntry& entry) {
    if (entry.name == group) gid = entry.gid;
    return gid.has_value();
  });
  if (gid) return *gid;
  throw Error(ErrorKind::invalid_argument,
              concat("unable to find group ", group, ": no matching entries in group file"));
}

bool is_member(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    const std::size_t comma = std::min(members.find(','), members.size());
    if (members.substr(0, comma) == name) return true;
    members.remove_prefix(std::min(comma + 1, members.size()));
  }
  return false;
}

void add_group(Identity& identity, std::uint32_t gid) {
  if (std::find(identity.groups.begin(), identity.groups.end(), gid) != identity.groups.end()) return;
  if (identity.groups.size() >= group_limit) throw Error(ErrorKind::invalid_argument, "too many groups");
  identity.groups.push_back(gid);
}

std::string read_bounded(int root, const std::string& path) {
  UniqueFd file;
  try {
    file = find_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid_argument, error.message(), error.errno_value());
  }
  if (!file) return "";
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw sys_error("fstat ", path);
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::invalid_argument, concat(path, " is not a regular file"));
  if (static_cast<std::uint64_t>(status.st_size) > file_limit) {
    throw Error(ErrorKind::invalid_argument, concat(path, " is larger than 1 MiB"));
  }
  return read_all(file.get(), file_limit, path);
}

}  // namespace

Identity resolve_identity_in(std::string_view passwd, std::string_view group, const std::string& user,
                             const std::vector<std::string>& group_add) {
  const std::size_t colon = std::min(user.find(':'), user.size());
  const std::string user_part = user.substr(0, colon);
  const std::string group_part = colon < user.size() ? user.substr(colon + 1) : "";
  Identity identity;
  std::optional<PasswdEntry> entry;
  if (user_part.empty() || looks_like_number(user_part)) {
    identity.uid = user_part.empty() ? 0 : parse_id_or_throw(user_part);
    entry = find_user(passwd, [&](std::string_view, std::uint32_t uid) { return uid == identity.uid; });
  } else {
    entry = find_user(passwd, [&](std::string_view name, std::uint32_t) { return name == user_part; });
    if (!entry) {
      throw Error(ErrorKind::invalid_argument,
                  concat("unable to find user ", user_part, ": no matching entries in passwd file"));
    }
    identity.uid = entry->uid;
  }
  if (entry) {
    identity.gid = entry->gid;
    identity.home = std::string(entry->home);
  }
  if (!group_part.empty()) identity.gid = resolve_group(group, group_part);
  identity.groups.push_back(identity.gid);
  if (group_part.empty() && entry) {
    for_each_group(group, [&](const GroupEntry& one) {
      if (is_member(one.members, entry->name)) add_group(identity, one.gid);
      return false;
    });
  }
  for (const std::string& extra : group_add) add_group(identity, resolve_group(group, extra));
  return identity;
}

Identity resolve_identity(int root, const std::string& user, const std::vector<std::string>& group_add) {
  return resolve_identity_in(read_bounded(root, "/etc/passwd"), read_bounded(root, "/etc/group"), user, group_add);
}

std::string find_home(int root, std::uint32_t uid) {
  const std::string passwd = read_bounded(root, "/etc/passwd");
  const auto entry = find_user(passwd, [&](std::string_view, std::uint32_t one) { return one == uid; });
  return entry ? std::string(entry->home) : "";
}

}  // namespace mydocker::runtime
