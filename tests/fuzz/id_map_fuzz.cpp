// Id maps: three numbers a line. What is accepted is what the kernel accepts (no wrap, no overlap), and is written down
// as it was meant. Users and groups of a rootfs: any passwd and group file gives ids in range or one clear error.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "engine/base/error.h"
#include "runtime/namespaces.h"
#include "runtime/spec.h"
#include "runtime/user.h"

namespace {

using namespace mydocker;
using namespace mydocker::runtime;

void check_map(const std::vector<IdMapping>& map) {
  const std::string text = format_id_map(map);
  const char* at = text.c_str();
  for (std::size_t i = 0; i < map.size(); ++i) {
    unsigned inside = 0;
    unsigned outside = 0;
    unsigned size = 0;
    int length = 0;
    if (std::sscanf(at, "%u %u %u\n%n", &inside, &outside, &size, &length) != 3) std::abort();
    if (inside != map[i].container_id || outside != map[i].host_id || size != map[i].size) std::abort();
    if (size == 0 || inside + size <= inside || outside + size <= outside) std::abort();  // it would wrap
    for (std::size_t j = 0; j < i; ++j) {
      const auto apart = [](std::uint64_t a, std::uint64_t b, std::uint64_t n, std::uint64_t m) {
        return a + n <= b || b + m <= a;
      };
      if (!apart(inside, map[j].container_id, size, map[j].size)) std::abort();
      if (!apart(outside, map[j].host_id, size, map[j].size)) std::abort();
    }
    at += length;
  }
  if (*at != '\0') std::abort();
}

void try_map(const std::uint8_t* data, std::size_t size) {
  Spec spec = make_example_spec();
  spec.linux.namespaces.push_back({"user", ""});
  for (std::size_t i = 0; i + 12 <= size; i += 12) {
    std::uint32_t numbers[3];
    std::memcpy(numbers, data + i, sizeof numbers);
    spec.linux.uid_mappings.push_back({numbers[0], numbers[1], numbers[2]});
  }
  try {
    validate(spec);
    check_map(spec.linux.uid_mappings);
  } catch (const Error& error) {
    if (error.message().find("uidMappings") == std::string::npos) std::abort();
  }
}

void try_users(std::string_view text) {
  const std::string_view passwd = text.substr(0, text.size() / 2);
  const std::string_view group = text.substr(text.size() / 2);
  const std::string user(text.substr(0, text.find('\n')).substr(0, 40));
  try {
    const Identity identity = resolve_identity_in(passwd, group, user, {});
    if (identity.uid > 2147483647 || identity.gid > 2147483647) std::abort();
    const std::set<std::uint32_t> once(identity.groups.begin(), identity.groups.end());
    if (once.size() != identity.groups.size() || once.count(identity.gid) == 0) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::invalid_argument) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try_map(data, size);
  try_users(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
