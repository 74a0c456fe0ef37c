#pragma once

#include <string>
#include <string_view>

namespace mydocker::shim {

/// Finds a key sequence in a client's input (WIRE 5.4). A partial match is withheld until it is decided.
class DetachKeys {
 public:
  /// `keys` as bytes; empty: never found.
  explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}

  enum class Result { pass, detached };
  /// Appends to `out` what goes on to the process. After `detached` nothing more is to be fed.
  Result feed(std::string_view input, std::string& out);
  /// What is still withheld at the end of the input.
  std::string take_withheld();

 private:
  std::string keys_;
  std::size_t matched_ = 0;
};

}  // namespace mydocker::shim
