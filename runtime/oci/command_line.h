#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mydocker::oci {

/// One option of a verb: "--name value", "--name=value", "-n value"; a flag takes no value.
struct Option {
  std::string_view name;
  char letter = 0;  ///< 0: none
  bool flag = false;
};

/// Options up to the first positional argument (`interspersed` false) or anywhere; "--" ends them.
/// Throws Error{invalid_argument} "unknown flag: --x".
class Arguments {
 public:
  Arguments(const std::vector<std::string>& words, const std::vector<Option>& options, bool interspersed);

  bool has(std::string_view name) const;
  /// The last value given, or `otherwise`.
  std::string get(std::string_view name, std::string otherwise = "") const;
  std::vector<std::string> all(std::string_view name) const;
  const std::vector<std::string>& positional() const { return positional_; }
  /// Throws Error{invalid_argument} when there are not that many.
  const std::string& positional(std::size_t index, std::string_view what) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> positional_;
};

/// What stands before the verb.
struct GlobalOptions {
  std::string root;  ///< the state directory
  std::string log_file;
  bool log_json = false;
  bool systemd_cgroup = false;
};

}  // namespace mydocker::oci
