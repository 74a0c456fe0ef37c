#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace mydocker::test {

/// How much processor time others than the test took, moment by moment (/proc/stat less what is ours). A promise about
/// latencies is one about a machine that does nothing else; so much longer may things take as others left less of the
/// machine to us. What our own programs burn stretches nothing: an engine that hangs or spins is not excused. Kernel
/// threads count as others. Any thread.
class ForeignLoad {
 public:
  using Clock = std::chrono::steady_clock;

  /// `own` gives the processor time of the test and all it started, in seconds so far; called on a thread of its own.
  explicit ForeignLoad(std::function<double()> own);
  ForeignLoad(const ForeignLoad&) = delete;
  ForeignLoad& operator=(const ForeignLoad&) = delete;
  ~ForeignLoad();

  /// The processors of the machine by those that others left between the two moments: 1 on a quiet machine, 2 when
  /// they had half of it; never more than 20.
  double stretch(Clock::time_point from, Clock::time_point to);

 private:
  struct Sample {
    Clock::time_point time;
    double foreign = 0;  ///< seconds of all processors so far
  };
  void take_sample();

  std::function<double()> own_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<Sample> samples_;
  std::jthread sampler_;
};

/// Seconds of processor time that a process used so far, without its children's; 0 when it is gone.
double processor_seconds(int pid);
/// The same for all that ever ran below a cgroup, by whichever controller counts it.
double processor_seconds_of_cgroup(const std::string& parent);

}  // namespace mydocker::test
