#include "tests/support/foreign_load.h"

#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "engine/base/sys.h"

namespace mydocker::test {
namespace {

double in_seconds(double ticks) { return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)); }

/// All that the processors did but idle: user, nice, system, irq, softirq, steal.
double busy_seconds() {
  std::istringstream line(read_file("/proc/stat"));
  std::string name;
  double user = 0;
  double nice = 0;
  double system = 0;
  double idle = 0;
  double waiting = 0;
  double irq = 0;
  double softirq = 0;
  double steal = 0;
  line >> name >> user >> nice >> system >> idle >> waiting >> irq >> softirq >> steal;
  return in_seconds(user + nice + system + irq + softirq + steal);
}

}  // namespace

double processor_seconds(int pid) {
  try {
    const std::string stat = read_file(concat("/proc/", pid, "/stat"));
    std::istringstream words(stat.substr(stat.rfind(')') + 2));
    std::string word;
    for (int field = 3; field < 14; ++field) words >> word;
    double user = 0;
    double system = 0;
    words >> user >> system;
    return in_seconds(user + system);
  } catch (const Error&) {
    return 0;
  }
}

double processor_seconds_of_cgroup(const std::string& parent) {
  for (const char* root : {"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct"}) {
    const std::string file = concat(root, parent, "/cpuacct.usage");
    if (path_exists(file)) return std::stod(read_file(file)) / 1e9;
  }
  const std::string file = concat("/sys/fs/cgroup", parent, "/cpu.stat");
  if (!path_exists(file)) return 0;
  std::istringstream words(read_file(file));
  std::string name;
  double value = 0;
  while (words >> name >> value) {
    if (name == "usage_usec") return value / 1e6;
  }
  return 0;
}

ForeignLoad::ForeignLoad(std::function<double()> own) : own_(std::move(own)) {
  take_sample();
  sampler_ = std::jthread([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, std::chrono::milliseconds(100), [] { return false; });
      lock.unlock();
      take_sample();
    }
  });
}

ForeignLoad::~ForeignLoad() = default;

void ForeignLoad::take_sample() {
  const std::lock_guard lock(mutex_);
  const double own = own_();
  const double foreign = busy_seconds() - own;
  // The two are not read at one moment: time that was foreign stays so.
  samples_.push_back({Clock::now(), samples_.empty() ? foreign : std::max(foreign, samples_.back().foreign)});
}

double ForeignLoad::stretch(Clock::time_point from, Clock::time_point to) {
  take_sample();
  const std::lock_guard lock(mutex_);
  const auto before = [](const Sample& sample, Clock::time_point time) { return sample.time < time; };
  auto first = std::lower_bound(samples_.begin(), samples_.end(), from, before);
  if (first != samples_.begin()) --first;
  auto last = std::lower_bound(samples_.begin(), samples_.end(), to, before);
  if (last == samples_.end()) --last;
  const double whole = std::chrono::duration<double>(last->time - first->time).count() *
                       static_cast<double>(std::max(1U, std::thread::hardware_concurrency()));
  if (whole <= 0) return 1;
  constexpr double most = 20;
  return 1 / std::max(1 / most, 1 - (last->foreign - first->foreign) / whole);
}

}  // namespace mydocker::test
