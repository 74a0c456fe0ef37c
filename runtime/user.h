#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Users and groups as the files of a rootfs define them, by a bounded parser of our own: no NSS (SECURITY R4, R11).
/// Blocks on the disk only: /etc/passwd and /etc/group must be regular files of at most 1 MiB (SECURITY 7).
namespace mydocker::runtime {

struct Identity {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;  ///< supplementary; the primary gid is the first
  std::string home;                   ///< "" when the user is not in passwd
};

/// Looks "user[:group]" up below the directory descriptor `root`. A part made of digits is a number and never a name;
/// numbers run to 2147483647. "" is uid 0. With a group named, the user's own supplementary groups are left out (as
/// moby does). Throws Error{invalid_argument} "unable to find user x: no matching entries in passwd file".
Identity resolve_identity(int root, const std::string& user, const std::vector<std::string>& group_add);

/// The home directory of a uid; "" when it has none.
std::string find_home(int root, std::uint32_t uid);

/// The pure halves, for tests: contents of passwd and group instead of a root.
Identity resolve_identity_in(std::string_view passwd, std::string_view group, const std::string& user,
                             const std::vector<std::string>& group_add);

}  // namespace mydocker::runtime
