#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sys.h"
#include "runtime/bundle.h"
#include "runtime/oci/verbs.h"

namespace mydocker::oci {
namespace {

/// What an ordinary user can run: an own user namespace with the own ids, no network, no limits.
void make_rootless(runtime::Spec& spec) {
  auto& namespaces = spec.linux.namespaces;
  std::erase_if(namespaces, [](const runtime::Namespace& one) { return one.type == "network"; });
  namespaces.push_back({"user", ""});
  spec.linux.uid_mappings = {{0, ::geteuid(), 1}};
  spec.linux.gid_mappings = {{0, ::getegid(), 1}};
  spec.linux.resources.reset();
  for (runtime::Mount& mount : spec.mounts) {
    if (mount.type == "sysfs") {  // belongs to a network namespace that is not ours
      mount = {"/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"}, {}, {}};
    }
    std::erase_if(mount.options, [](const std::string& option) { return option.starts_with("gid="); });
  }
  std::erase_if(spec.mounts, [](const runtime::Mount& mount) { return mount.type == "cgroup"; });
}

}  // namespace

int spec(const GlobalOptions&, const Words& words) {
  const Arguments arguments(words, {{"bundle", 'b'}, {"rootless", 0, true}}, true);
  const std::string bundle = arguments.get("bundle", ".");
  if (path_exists(bundle + "/config.json")) {
    throw Error(ErrorKind::conflict, "file config.json exists. Remove it first");
  }
  runtime::Spec example = runtime::make_example_spec();
  if (arguments.has("rootless")) make_rootless(example);
  runtime::write_bundle(bundle, example);
  return 0;
}

}  // namespace mydocker::oci
