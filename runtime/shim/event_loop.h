#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "engine/base/unique_fd.h"

namespace mydocker::shim {

/// Told when a descriptor is ready; `events` are EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR.
class FdHandler {
 public:
  virtual void on_ready(std::uint32_t events) = 0;

 protected:
  ~FdHandler() = default;
};

/// The shim's one loop: descriptors, timers, deferred work. Single-threaded; handlers must not block for long.
/// A handler may forget itself and others while it runs: one event is fetched at a time, so none is ever stale.
class EventLoop {
 public:
  using TimerId = std::pair<std::chrono::steady_clock::time_point, std::uint64_t>;

  EventLoop();

  /// Level-triggered. EPOLLHUP and EPOLLERR are reported even with `events` 0 (man 2 epoll_ctl).
  void watch(int fd, std::uint32_t events, FdHandler& handler);
  void change(int fd, std::uint32_t events, FdHandler& handler);
  /// Before the descriptor is closed: a duplicate elsewhere would keep it registered.
  void forget(int fd) noexcept;

  TimerId after(std::chrono::milliseconds delay, std::function<void()> action);
  void cancel(TimerId timer) noexcept { timers_.erase(timer); }
  /// Runs `action` before the next wait: for what must not happen inside the caller, such as destroying it.
  void defer(std::function<void()> action) { deferred_.push_back(std::move(action)); }

  /// 64 KiB to read into, for one handler at a time; made when first needed and given back later.
  std::span<char> scratch();
  /// In a moment the memory that is not needed any more goes back to the kernel: a shim lives long and is mostly idle.
  void give_back_memory_later();
  /// What else to give back then.
  void on_give_back_memory(std::function<void()> action) { give_back_ = std::move(action); }

  /// Until stop(). What a handler throws is logged and costs that handler its event, not the container its parent;
  /// throws itself when that goes on and on.
  void run();
  /// One round: deferred work, due timers, at most one event. Waits for `limit` at most.
  void run_once(std::chrono::milliseconds limit);
  void stop() noexcept { running_ = false; }

 private:
  void run_deferred();
  void run_due_timers();

  UniqueFd epoll_;
  bool running_ = true;
  std::uint64_t next_timer_ = 1;
  std::map<TimerId, std::function<void()>> timers_;
  std::deque<std::function<void()>> deferred_;
  std::unique_ptr<char[]> scratch_;
  bool memory_timer_set_ = false;
  std::function<void()> give_back_;
};

}  // namespace mydocker::shim
