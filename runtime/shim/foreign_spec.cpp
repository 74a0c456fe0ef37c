#include "runtime/shim/foreign_spec.h"

#include <sys/resource.h>

#include <algorithm>
#include <set>
#include <string>

#include "engine/base/sys.h"
#include "runtime/capabilities.h"
#include "runtime/device_filter.h"
#include "runtime/process_setup.h"
#include "runtime/seccomp.h"

namespace mydocker::shim {
namespace {

/// As the library's own start does: defaults are clamped where CAP_SYS_RESOURCE is missing, what was asked for is not.
std::vector<runtime::Rlimit> clamp_rlimits(std::vector<runtime::Rlimit> limits,
                                           const std::vector<std::string>& requested) {
  const std::optional<unsigned> number = runtime::find_capability("CAP_SYS_RESOURCE");
  if (number && runtime::has_capability(runtime::own_effective_set(), *number)) return limits;
  for (runtime::Rlimit& limit : limits) {
    const std::optional<int> resource = runtime::find_rlimit(limit.type);
    const bool asked = std::find(requested.begin(), requested.end(), limit.type) != requested.end();
    rlimit own{};
    if (asked || !resource || ::getrlimit(static_cast<__rlimit_resource_t>(*resource), &own) != 0) continue;
    limit.hard = std::min<std::uint64_t>(limit.hard, own.rlim_max);
    limit.soft = std::min(limit.soft, limit.hard);
  }
  return limits;
}

}  // namespace

runtime::Process make_foreign_process(int root, const runtime::Process& process, const std::string& user,
                                      const std::vector<std::string>& group_add, bool resolve_home,
                                      const std::vector<std::string>& requested_rlimits) {
  const runtime::Launch launch = runtime::prepare_launch(root, process, user, group_add, resolve_home);
  runtime::Process out = launch.process;
  out.user.uid = launch.identity.uid;
  out.user.gid = launch.identity.gid;
  out.user.additional_gids = launch.identity.groups;
  out.rlimits = clamp_rlimits(out.rlimits, requested_rlimits);
  if (out.oom_score_adj == 0) out.oom_score_adj.reset();  // the default: lowering to it takes CAP_SYS_RESOURCE
  return out;
}

namespace {

/// In libseccomp, with which those programs compile, a rule without conditions is the only one of its call: what is
/// allowed with some arguments must not stand among the refused. The rest of such a call falls to the default action.
void keep_conditional_rules(runtime::Seccomp& seccomp) {
  std::set<std::string> conditional;
  for (const runtime::SeccompRule& rule : seccomp.syscalls) {
    if (!rule.args.empty()) conditional.insert(rule.names.begin(), rule.names.end());
  }
  for (runtime::SeccompRule& rule : seccomp.syscalls) {
    if (rule.args.empty())
      std::erase_if(rule.names, [&](const std::string& name) { return conditional.contains(name); });
  }
}

}  // namespace

runtime::Spec make_foreign_spec(const runtime::TaskOptions& options, int root, const std::string& rootfs) {
  runtime::Spec spec = options.spec;
  spec.version = std::string(runtime::bundle_version);
  spec.root.path = rootfs;
  spec.process = make_foreign_process(root, spec.process, options.user, options.group_add, options.resolve_home,
                                      options.requested_rlimits);
  if (options.default_seccomp) {
    spec.linux.seccomp = runtime::make_default_seccomp(runtime::parse_capabilities(spec.process.capabilities).bounding);
    keep_conditional_rules(*spec.linux.seccomp);
  }
  if (spec.linux.resources) {
    spec.linux.resources->devices = runtime::with_default_devices(spec.linux.resources->devices);
  }
  // Older runtimes know no time namespace; without offsets it shows the host's clocks anyway.
  if (spec.linux.time_offsets.empty()) {
    std::erase_if(spec.linux.namespaces, [](const runtime::Namespace& one) { return one.type == "time"; });
  }
  return spec;
}

}  // namespace mydocker::shim
