#pragma once

#include <sys/types.h>

#include <utility>

namespace mydocker::runtime {

/// A child that does nothing but exist: systemd starts no scope without a process in it. It holds no descriptor and
/// ends with its parent. Move-only; destroying it kills and reaps it. Single-threaded callers only (fork).
class Placeholder {
 public:
  Placeholder() = default;
  Placeholder(Placeholder&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Placeholder& operator=(Placeholder&& other) noexcept;
  ~Placeholder() { end(); }

  /// Throws Error{internal}.
  static Placeholder start();
  pid_t pid() const noexcept { return pid_; }

 private:
  void end() noexcept;

  pid_t pid_ = -1;
};

}  // namespace mydocker::runtime
