#include "engine/base/trace.h"

#include <cstdio>

namespace mydocker {

void Trace::mark(std::string_view phase) {
  const Clock::time_point time = Clock::now();
  phases_.push_back(Phase{std::string(phase), time - last_});
  last_ = time;
}

void Trace::add(std::string_view phase, std::chrono::nanoseconds duration) {
  phases_.push_back(Phase{std::string(phase), duration});
}

std::string Trace::to_server_timing() const {
  std::string out;
  for (const Phase& phase : phases_) {
    char number[32];
    std::snprintf(number, sizeof number, "%.3f", static_cast<double>(phase.duration.count()) / 1e6);
    if (!out.empty()) out += ", ";
    out += phase.name + ";dur=" + number;
  }
  return out;
}

void TraceBook::record(const Trace& trace) {
  const std::scoped_lock lock(mutex_);
  if (recent_.size() >= kept) recent_.erase(recent_.begin());
  recent_.push_back(trace);
  const auto add = [&](const std::string& phase, std::chrono::nanoseconds duration) {
    Sum& sum = sums_[{trace.operation(), phase}];
    ++sum.count;
    sum.total += duration;
  };
  for (const Trace::Phase& phase : trace.phases()) add(phase.name, phase.duration);
  add("", trace.total());
}

std::vector<Trace> TraceBook::recent() const {
  const std::scoped_lock lock(mutex_);
  return recent_;
}

std::map<std::pair<std::string, std::string>, TraceBook::Sum> TraceBook::sums() const {
  const std::scoped_lock lock(mutex_);
  return sums_;
}

}  // namespace mydocker
