// Options of a mount: the first byte chooses the file system, the others are words between commas.

#include <cstdint>
#include <cstdlib>

#include "engine/base/error.h"
#include "runtime/mount_options.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mydocker;
  using namespace mydocker::runtime;
  static constexpr const char* types[] = {"tmpfs", "bind", "", "proc", "overlay", "rbind", "cgroup"};
  static constexpr const char* words[] = {"ro",          "rw",        "nosuid",   "noatime",     "strictatime",
                                          "relatime",    "rbind",     "bind",     "idmap",       "ridmap",
                                          "nosymfollow", "tmpcopyup", "rro",      "rslave",      "shared",
                                          "size=5",      "z",         "mode=755", "runbindable", "noexec"};
  Mount mount{"/x", "tmpfs", "/source", {}, {}, {}};
  if (size > 0) mount.type = types[data[0] % std::size(types)];
  std::string word;
  for (std::size_t i = 1; i < size; ++i) {
    if (data[i] == ',') {
      mount.options.push_back(word);
      word.clear();
    } else if (data[i] >= 0x80) {
      word += words[data[i] % std::size(words)];
    } else {
      word += static_cast<char>(data[i]);
    }
  }
  mount.options.push_back(word);
  try {
    const MountOptions options = parse_mount_options(mount);
    if ((options.recursive_bind && !options.bind) || (options.id_map_recursive && !options.id_map)) std::abort();
    if (options.bind && !options.parameters.empty()) std::abort();
    // Set again in the words' order nothing changes: the last word has decided.
    mount.options.insert(mount.options.end(), mount.options.begin(), mount.options.end());
    const MountOptions twice = parse_mount_options(mount);
    if (twice.set != options.set || twice.propagation != options.propagation) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::invalid_argument || error.message().find("/x") == std::string::npos) std::abort();
  }
  return 0;
}
