#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace mydocker::engine {

/// How long requests took, by route: count, sum and a histogram, for /metrics. Routes are the patterns of the routing
/// table, so the book is bounded. I/O thread only.
class RequestBook {
 public:
  /// Upper bounds of the histogram's buckets in seconds; one more bucket has the rest.
  static constexpr std::array<double, 10> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 10};

  struct Sum {
    std::uint64_t count = 0;
    std::chrono::nanoseconds total{};
    std::array<std::uint64_t, bounds.size() + 1> buckets{};
    std::map<int, std::uint64_t> codes;  ///< HTTP status -> count
  };
  struct Route {
    std::string method;
    std::string pattern;
    auto operator<=>(const Route&) const = default;
  };

  void record(const Route& route, int status, std::chrono::nanoseconds took) {
    Sum& sum = sums_[route];
    ++sum.count;
    sum.total += took;
    ++sum.codes[status];
    std::size_t bucket = 0;
    while (bucket < bounds.size() && std::chrono::duration<double>(took).count() > bounds[bucket]) ++bucket;
    ++sum.buckets[bucket];
  }
  const std::map<Route, Sum>& sums() const { return sums_; }

 private:
  std::map<Route, Sum> sums_;
};

}  // namespace mydocker::engine
