#pragma once

#include <span>
#include <string>
#include <string_view>

#include "api/daemon/config.h"

namespace mydocker::daemon {

/// What a setting takes: nothing (a switch; "--x=false" turns it off), one value, or any number of values.
enum class Takes { boolean, one, many };

/// One setting: its flag, its key in daemon.json, and how it gets into the Config.
struct Setting {
  std::string_view flag;  ///< without "--"
  char letter = 0;        ///< 'H' for -H, or 0
  std::string_view key;   ///< in daemon.json; "" = a flag only
  Takes takes = Takes::one;
  void (*apply)(Config& config, const std::string& value) = nullptr;  ///< throws Error{invalid_argument}
  std::string_view help;
};

/// Does SIGHUP take over a change of this key of daemon.json?
bool is_reloadable(std::string_view key);

/// In the order of the help.
std::span<const Setting> all_settings();

}  // namespace mydocker::daemon
