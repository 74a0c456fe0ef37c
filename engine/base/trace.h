#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Phase timers: where the time of a create, start, exec or pull went (DESIGN 3.8).
namespace mydocker {

/// The phases of one operation, in order. One thread at a time; moved between threads with the operation.
///
///   Trace trace("start");
///   ...; trace.mark("plan");      // everything since the last mark was the phase "plan"
class Trace {
 public:
  using Clock = std::chrono::steady_clock;
  struct Phase {
    std::string name;
    std::chrono::nanoseconds duration{};
  };

  explicit Trace(std::string operation) : operation_(std::move(operation)) {}
  void mark(std::string_view phase);
  /// A phase measured elsewhere (in the shim); does not move the clock of `mark`.
  void add(std::string_view phase, std::chrono::nanoseconds duration);

  const std::string& operation() const { return operation_; }
  /// What it was done to: a container's ID.
  const std::string& subject() const { return subject_; }
  void set_subject(std::string subject) { subject_ = std::move(subject); }
  const std::vector<Phase>& phases() const { return phases_; }
  std::chrono::nanoseconds total() const { return last_ - begin_; }
  /// "plan;dur=0.12, spawn;dur=1.5" in milliseconds: the Server-Timing header (W3C Server Timing).
  std::string to_server_timing() const;

 private:
  std::string operation_;
  std::string subject_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  std::vector<Phase> phases_;
};

/// The last traces and the sums of all, for /metrics and `system trace`. Thread-safe (one mutex).
class TraceBook {
 public:
  struct Sum {
    std::uint64_t count = 0;
    std::chrono::nanoseconds total{};
  };

  void record(const Trace& trace);
  /// The newest `kept` traces, oldest first.
  std::vector<Trace> recent() const;
  /// (operation, phase) -> sum; the phase "" is the whole operation.
  std::map<std::pair<std::string, std::string>, Sum> sums() const;

 private:
  static constexpr std::size_t kept = 128;
  mutable std::mutex mutex_;
  std::vector<Trace> recent_;
  std::map<std::pair<std::string, std::string>, Sum> sums_;
};

}  // namespace mydocker
