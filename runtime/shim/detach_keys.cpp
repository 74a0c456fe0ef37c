#include "runtime/shim/detach_keys.h"

#include <utility>

namespace mydocker::shim {

DetachKeys::Result DetachKeys::feed(std::string_view input, std::string& out) {
  if (keys_.empty()) {
    out += input;
    return Result::pass;
  }
  for (const char byte : input) {
    // On a mismatch the shortest prefix is let go after which the rest may still become the sequence.
    while (matched_ > 0 && keys_[matched_] != byte) {
      const std::string_view withheld(keys_.data(), matched_);
      std::size_t drop = 1;
      while (!std::string_view(keys_).starts_with(withheld.substr(drop))) ++drop;
      out += withheld.substr(0, drop);
      matched_ -= drop;
    }
    if (keys_[matched_] != byte) {
      out.push_back(byte);
    } else if (++matched_ == keys_.size()) {
      matched_ = 0;
      return Result::detached;
    }
  }
  return Result::pass;
}

std::string DetachKeys::take_withheld() { return keys_.substr(0, std::exchange(matched_, 0)); }

}  // namespace mydocker::shim
