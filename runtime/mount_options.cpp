#include "runtime/mount_options.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#include <algorithm>
#include <string_view>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr std::uint64_t atime_bits = MOUNT_ATTR__ATIME;

struct AttributeWord {
  std::string_view word;
  std::uint64_t set;
  std::uint64_t clear;
};
/// Each also exists with an "r" before it, for the whole tree. The access time is one field of three values: setting
/// one clears the field first.
constexpr AttributeWord attribute_words[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"relatime", MOUNT_ATTR_RELATIME, atime_bits},
    {"norelatime", 0, atime_bits},
    {"noatime", MOUNT_ATTR_NOATIME, atime_bits},
    {"atime", 0, atime_bits},
    {"strictatime", MOUNT_ATTR_STRICTATIME, atime_bits},
    {"nostrictatime", 0, atime_bits},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

struct PropagationWord {
  std::string_view word;
  std::uint64_t propagation;
};
constexpr PropagationWord propagation_words[] = {
    {"private", MS_PRIVATE}, {"slave", MS_SLAVE}, {"shared", MS_SHARED}, {"unbindable", MS_UNBINDABLE}};

/// What other programs put there and what means nothing here.
constexpr std::string_view ignored_words[] = {"", "defaults", "z", "Z", "copy", "nocopy", "async", "nomand", "nosync"};

bool read_attribute(std::string_view word, MountOptions& out) {
  for (const AttributeWord& one : attribute_words) {
    if (word == one.word) {
      out.clear = (out.clear | one.clear) & ~one.set;
      out.set = (out.set & ~one.clear) | one.set;
      if (one.clear == atime_bits) out.clear |= atime_bits;
      return true;
    }
    if (word.size() == one.word.size() + 1 && word.front() == 'r' && word.substr(1) == one.word) {
      out.set_recursive |= one.set;
      out.clear_recursive |= one.clear;
      return true;
    }
  }
  return false;
}

bool read_propagation(std::string_view word, MountOptions& out) {
  for (const PropagationWord& one : propagation_words) {
    const bool recursive = word.size() == one.word.size() + 1 && word.front() == 'r' && word.substr(1) == one.word;
    if (!recursive && word != one.word) continue;
    out.propagation = one.propagation;
    out.propagation_recursive = recursive;
    return true;
  }
  return false;
}

bool read_bind(std::string_view word, MountOptions& out) {
  if (word == "bind")
    out.bind = true;
  else if (word == "rbind")
    out.bind = out.recursive_bind = true;
  else if (word == "tmpcopyup")
    out.copy_up = true;
  else if (word == "idmap")
    out.id_map = true;
  else if (word == "ridmap")
    out.id_map = out.id_map_recursive = true;
  else
    return false;
  return true;
}

}  // namespace

MountOptions parse_mount_options(const Mount& mount) {
  MountOptions out;
  for (const std::string& word : mount.options) {
    if (std::find(std::begin(ignored_words), std::end(ignored_words), word) != std::end(ignored_words)) continue;
    if (read_attribute(word, out) || read_propagation(word, out) || read_bind(word, out)) continue;
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      out.parameters.emplace_back(word, "");
    } else {
      out.parameters.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
  }
  if (mount.type == "bind") out.bind = true;
  if (mount.type == "rbind") out.bind = out.recursive_bind = true;
  if (!mount.uid_mappings.empty()) out.id_map = true;
  if (out.bind || mount.type == "overlay") {
    std::erase_if(out.parameters, [&out](const auto& parameter) {
      if (out.bind && parameter.first == "mount-namespace") {
        out.mount_namespace = parameter.second;
      } else if (parameter.first == "subpath") {
        out.subpath = parameter.second;
      } else {
        return false;
      }
      return true;
    });
  }
  if (out.bind && !out.parameters.empty()) {
    throw Error(ErrorKind::invalid_argument, concat("mount ", mount.destination, ": unknown option \"",
                                                    out.parameters.front().first, "\" for a bind"));
  }
  return out;
}

void add_mount_label(MountParameters& parameters, const std::string& type, const std::string& label) {
  if (label.empty() || type == "proc" || type == "sysfs" || type == "mqueue") return;
  const bool has_own = std::any_of(parameters.begin(), parameters.end(),
                                   [](const auto& parameter) { return parameter.first == "context"; });
  if (!has_own) parameters.emplace_back("context", label);
}

void label_mount(int mount, const std::string& type, const std::string& label) {
  if (label.empty() || type != "mqueue") return;
  const UniqueFd root = open_at(mount, ".", O_RDONLY | O_DIRECTORY);
  if (::fsetxattr(root.get(), "security.selinux", label.data(), label.size(), 0) != 0) {
    throw sys_error("label the mqueue \"", label, "\"");
  }
}

std::vector<std::string> list_ignored_options(const Spec& spec) {
  std::vector<std::string> out;
  for (const Mount& mount : spec.mounts) {
    for (const std::string& word : mount.options) {
      if (word != "z" && word != "Z") continue;
      out.push_back(concat("mount ", mount.destination, ": option \"", word, "\" is ignored: nothing is relabeled"));
    }
  }
  return out;
}

}  // namespace mydocker::runtime
