#pragma once

#include <linux/bpf.h>

#include <string>
#include <vector>

#include "runtime/spec_resources.h"

/// Which devices a cgroup may open: lines for the v1 files, a BPF program for v2. Rules apply in order, the last match
/// wins; a rule for all devices ("a") resets what came before.
namespace mydocker::runtime {

/// The rules with the nodes that every container has (null zero full random urandom tty console ptmx pts, and mknod of
/// any kind) allowed right after the last rule for all, unless that one allows everything. Empty stays empty: no
/// filter.
std::vector<DeviceRule> with_default_devices(const std::vector<DeviceRule>& rules);

/// One write to devices.allow or devices.deny.
struct DeviceLine {
  bool allow = false;
  std::string text;  ///< "a" or "c 1:3 rwm"

  bool operator==(const DeviceLine&) const = default;
};
/// Pure.
std::vector<DeviceLine> device_lines(const std::vector<DeviceRule>& rules);

/// The v2 program (BPF_PROG_TYPE_CGROUP_DEVICE). Pure.
std::vector<bpf_insn> make_device_program(const std::vector<DeviceRule>& rules);
/// Loads and attaches it, replacing the one that was attached by an earlier call. Throws Error{internal} (R28).
void attach_device_filter(int cgroup_fd, const std::vector<DeviceRule>& rules);

}  // namespace mydocker::runtime
