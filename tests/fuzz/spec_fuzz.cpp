// The OCI config.json: a rich document in which the input replaces bytes. Whatever comes of it is refused by name or
// survives the way to JSON and back, and everything that is made of an accepted one can be made without a crash.

#include <cstdint>
#include <cstdlib>

#include "engine/base/error.h"
#include "runtime/device_filter.h"
#include "runtime/mount_options.h"
#include "runtime/namespaces.h"
#include "runtime/seccomp.h"
#include "runtime/spec.h"

namespace {

using namespace mydocker;
using namespace mydocker::runtime;

std::string make_document() {
  Spec spec = make_example_spec();
  spec.annotations = {{"key", "value"}};
  spec.linux.namespaces.push_back({"user", ""});
  spec.linux.uid_mappings = {{0, 1000, 10}, {10, 2000, 5}};
  spec.linux.gid_mappings = {{0, 1000, 10}};
  spec.linux.sysctl = {{"net.core.somaxconn", "1"}};
  spec.linux.devices = {{"/dev/x", "c", 1, 3, 438, 0, 0}};
  spec.hooks.emplace().poststop = {{"/bin/true", {"true"}, {"A=b"}, 5}};
  spec.mounts.push_back({"/m", "bind", "/s", {"rbind", "ro", "rslave", "idmap"}, {{0, 1, 2}}, {{0, 1, 2}}});
  Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  seccomp.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  seccomp.syscalls = {{{"keyctl", "mkdir"}, "SCMP_ACT_ERRNO", 1, {{0, 7, 3, "SCMP_CMP_MASKED_EQ"}}}};
  spec.linux.seccomp = seccomp;
  return write_json(to_json(spec));
}

void use(const Spec& spec) {
  for (const Mount& mount : spec.mounts) parse_mount_options(mount);
  format_id_map(spec.linux.uid_mappings);
  if (spec.linux.resources) {
    device_lines(with_default_devices(spec.linux.resources->devices));
    if (make_device_program(spec.linux.resources->devices).empty()) std::abort();
  }
  if (spec.linux.seccomp && compile_seccomp(*spec.linux.seccomp).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string document = make_document();
  std::string text = document;
  for (std::size_t i = 0; i + 2 < size; i += 3) {
    const std::size_t at = static_cast<std::size_t>(data[i]) * 256 + data[i + 1];
    text[at % text.size()] = static_cast<char>(data[i + 2]);
  }
  try {
    const Spec spec = from_json<Spec>(parse_json(text));
    validate(spec);
    const Spec again = from_json<Spec>(to_json(spec));
    validate(again);
    if (to_json(again) != to_json(spec)) std::abort();
    use(spec);
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
    const ErrorKind kind = error.kind();
    if (kind != ErrorKind::invalid_argument && kind != ErrorKind::not_implemented) std::abort();
  }
  return 0;
}
