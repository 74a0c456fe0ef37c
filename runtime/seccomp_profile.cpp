#include <algorithm>
#include <cstdlib>

#include "runtime/seccomp.h"

/// Docker's seccomp profile files (moby, profiles/seccomp): rules with conditions, decided here for one container.
namespace mydocker::runtime {
namespace {

struct ArchMapEntry {
  std::string architecture;
  std::vector<std::string> sub_architectures;

  static constexpr auto json_fields() {
    return std::tuple(field("architecture", &ArchMapEntry::architecture),
                      field("subArchitectures", &ArchMapEntry::sub_architectures));
  }
};

struct ProfileFilter {
  std::vector<std::string> caps;
  std::vector<std::string> arches;  ///< Go's names: "amd64"
  std::string min_kernel;

  static constexpr auto json_fields() {
    return std::tuple(field("caps", &ProfileFilter::caps), field("arches", &ProfileFilter::arches),
                      field("minKernel", &ProfileFilter::min_kernel));
  }
};

struct ProfileRule {
  std::string name;  ///< the older form of `names`
  std::vector<std::string> names;
  std::string action;
  std::optional<std::uint32_t> errno_ret;
  std::vector<SeccompArgument> args;
  ProfileFilter includes;
  ProfileFilter excludes;

  static constexpr auto json_fields() {
    return std::tuple(field("name", &ProfileRule::name), field("names", &ProfileRule::names),
                      field("action", &ProfileRule::action), field("errnoRet", &ProfileRule::errno_ret),
                      field("args", &ProfileRule::args), field("includes", &ProfileRule::includes),
                      field("excludes", &ProfileRule::excludes));
  }
};

struct Profile {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;
  std::vector<ArchMapEntry> arch_map;
  std::vector<std::string> flags;
  std::string listener_path;
  std::string listener_metadata;
  std::vector<ProfileRule> syscalls;

  static constexpr auto json_fields() {
    return std::tuple(field("defaultAction", &Profile::default_action),
                      field("defaultErrnoRet", &Profile::default_errno_ret),
                      field("architectures", &Profile::architectures), field("archMap", &Profile::arch_map),
                      field("flags", &Profile::flags), field("listenerPath", &Profile::listener_path),
                      field("listenerMetadata", &Profile::listener_metadata), field("syscalls", &Profile::syscalls));
  }
};

#if defined(__x86_64__)
constexpr std::string_view native_go_name = "amd64";
constexpr std::string_view native_scmp_name = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
constexpr std::string_view native_go_name = "arm64";
constexpr std::string_view native_scmp_name = "SCMP_ARCH_AARCH64";
#else
#error "name this architecture as Go and libseccomp call it"
#endif

struct KernelVersion {
  long major = 0;
  long minor = 0;
};

KernelVersion parse_kernel(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  KernelVersion version;
  version.major = std::strtol(copy.c_str(), &end, 10);
  if (end == copy.c_str() || *end != '.') {
    throw Error(ErrorKind::invalid_argument, concat("invalid seccomp profile: kernel version \"", text, "\""));
  }
  version.minor = std::strtol(end + 1, nullptr, 10);
  return version;
}

bool is_at_least(std::string_view kernel, std::string_view wanted) {
  const KernelVersion have = parse_kernel(kernel);
  const KernelVersion want = parse_kernel(wanted);
  return have.major != want.major ? have.major > want.major : have.minor >= want.minor;
}

bool has_all(const std::vector<std::string>& names, CapabilityMask bounding) {
  const CapabilityMask wanted = capability_mask(names);
  return (bounding & wanted) == wanted;
}

bool names_this_architecture(const std::vector<std::string>& arches) {
  return std::find(arches.begin(), arches.end(), native_go_name) != arches.end();
}

/// Each condition that an `includes` names must hold; one that an `excludes` names suffices to drop the rule.
bool applies(const ProfileRule& rule, CapabilityMask bounding, std::string_view kernel) {
  const ProfileFilter& in = rule.includes;
  const ProfileFilter& out = rule.excludes;
  if (!in.arches.empty() && !names_this_architecture(in.arches)) return false;
  if (!in.caps.empty() && !has_all(in.caps, bounding)) return false;
  if (!in.min_kernel.empty() && !is_at_least(kernel, in.min_kernel)) return false;
  if (!out.arches.empty() && names_this_architecture(out.arches)) return false;
  if (!out.caps.empty() && has_all(out.caps, bounding)) return false;
  return out.min_kernel.empty() || !is_at_least(kernel, out.min_kernel);
}

std::vector<std::string> list_architectures(const Profile& profile) {
  if (!profile.architectures.empty() && !profile.arch_map.empty()) {
    throw Error(ErrorKind::invalid_argument, "invalid seccomp profile: use either 'architectures' or 'archMap'");
  }
  std::vector<std::string> out = profile.architectures;
  for (const ArchMapEntry& entry : profile.arch_map) {
    if (entry.architecture != native_scmp_name) continue;
    out.push_back(entry.architecture);
    out.insert(out.end(), entry.sub_architectures.begin(), entry.sub_architectures.end());
  }
  return out;
}

}  // namespace

Seccomp parse_seccomp_profile(std::string_view json_text, CapabilityMask bounding, std::string_view kernel) {
  Profile profile;
  try {
    profile = from_json<Profile>(parse_json(json_text));
  } catch (Error& error) {
    error.add_context("decoding seccomp profile failed");
    throw;
  }
  Seccomp seccomp;
  seccomp.default_action = profile.default_action;
  seccomp.default_errno_ret = profile.default_errno_ret;
  seccomp.architectures = list_architectures(profile);
  seccomp.flags = profile.flags;
  seccomp.listener_path = profile.listener_path;
  seccomp.listener_metadata = profile.listener_metadata;
  for (ProfileRule& rule : profile.syscalls) {
    if (!rule.name.empty() && !rule.names.empty()) {
      throw Error(ErrorKind::invalid_argument, "invalid seccomp profile: use either 'name' or 'names'");
    }
    if (!applies(rule, bounding, kernel)) continue;
    if (!rule.name.empty()) rule.names = {rule.name};
    seccomp.syscalls.push_back({rule.names, rule.action, rule.errno_ret, rule.args});
  }
  compile_seccomp(seccomp);  // a profile that cannot be compiled is refused here, not at the start
  return seccomp;
}

}  // namespace mydocker::runtime
