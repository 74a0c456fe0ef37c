#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/spec_resources.h"

/// Cgroups that systemd makes: transient scope units over D-Bus (org.freedesktop.systemd1(5), systemd.scope(5),
/// systemd.resource-control(5)). A process of ours may be moved into a scope, and systemd knows the limits, so that a
/// `daemon-reload` does not take them back. Functions that talk to systemd block until it has done what they ask, at
/// most 30 s; they throw Error{unavailable} when it does not answer, Error{internal} when it refuses.
namespace mydocker::runtime {

/// "slice:prefix:name", as linux.cgroupsPath names it for the systemd driver.
struct ScopeName {
  std::string slice;  ///< "system.slice"
  std::string unit;   ///< "prefix-name.scope"

  /// "/system.slice/prefix-name.scope", below every hierarchy; "a-b.slice" lies in "a.slice".
  std::string path() const;
};

/// nullopt when the text is a path ("/..."), which cgroupfs takes. An empty slice is system.slice, an empty prefix
/// none. Throws Error{invalid_argument} for what is neither. Pure.
std::optional<ScopeName> parse_scope_name(std::string_view cgroups_path);
/// A slice's name as systemd takes it: "a-b.slice", "-.slice". Pure.
bool is_slice_name(std::string_view text);

/// A property of a unit: text, boolean, number, bytes (CPU masks), device rules.
struct UnitProperty {
  using DeviceList = std::vector<std::pair<std::string, std::string>>;
  std::string name;
  std::variant<std::string, bool, std::uint64_t, std::vector<std::uint8_t>, DeviceList> value;

  bool operator==(const UnitProperty&) const = default;
};

/// The limits that systemd has a property for, in its words; what it has none for is written to the files alone.
/// `v2`: the host is a pure cgroup v2 one. Pure. Throws Error{invalid_argument} for a CPU list that is none.
std::vector<UnitProperty> scope_properties(const Resources& resources, bool v2);

/// Starts the scope with one process in it (an empty one is refused). The controllers are delegated to us.
void start_scope(const ScopeName& name, std::string_view description, pid_t process);
void set_scope_properties(const std::string& unit, const std::vector<UnitProperty>& properties);
/// Absence is fine.
void stop_scope(const std::string& unit);
/// Moves the process into the scope, which is started if there is none.
void enter_scope(const ScopeName& name, std::string_view description, pid_t process);

}  // namespace mydocker::runtime
