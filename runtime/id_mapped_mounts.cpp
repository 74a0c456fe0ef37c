#include "runtime/id_mapped_mounts.h"

#include <fcntl.h>

#include <cerrno>

#include "engine/base/mount.h"
#include "engine/base/sys.h"
#include "runtime/mount_options.h"
#include "runtime/namespaces.h"

namespace mydocker::runtime {
namespace {

UniqueFd open_mapping(const Spec& spec, const Mount& mount) {
  if (!mount.uid_mappings.empty()) return make_user_namespace(mount.uid_mappings, mount.gid_mappings);
  const Namespace* user = find_namespace(spec, "user");
  if (user == nullptr) {
    throw Error(ErrorKind::invalid_argument,
                concat("mount ", mount.destination, ": idmap needs uidMappings and gidMappings, or a user namespace"));
  }
  if (!user->path.empty()) return open_file(user->path, O_RDONLY);
  return make_user_namespace(spec.linux.uid_mappings, spec.linux.gid_mappings);
}

}  // namespace

std::vector<UniqueFd> open_id_mapped_mounts(const Spec& spec, const std::string& bundle) {
  std::vector<UniqueFd> mounts(spec.mounts.size());
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const Mount& mount = spec.mounts[i];
    const MountOptions options = parse_mount_options(mount);
    if (!options.id_map) continue;
    if (!options.bind) {
      throw Error(ErrorKind::invalid_argument, concat("mount ", mount.destination, ": only binds can be id-mapped"));
    }
    const std::string source = mount.source.starts_with("/") ? mount.source : concat(bundle, "/", mount.source);
    try {
      const UniqueFd mapping = open_mapping(spec, mount);
      mounts[i] = clone_mount(AT_FDCWD, source, options.recursive_bind);
      set_mount_id_map(mounts[i].get(), mapping.get(), options.id_map_recursive);
    } catch (Error& error) {
      if (error.errno_value() == EINVAL) error.add_context("this kernel cannot id-map its file system");
      error.add_context(concat("error mounting \"", source, "\" to rootfs at \"", mount.destination, "\""));
      throw;
    }
  }
  return mounts;
}

}  // namespace mydocker::runtime
