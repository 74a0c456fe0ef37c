#include "runtime/shim/event_loop.h"

#include <malloc.h>
#include <sys/epoll.h>

#include <algorithm>

#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::shim {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {
constexpr std::size_t scratch_size = 65536;
constexpr milliseconds memory_delay(1000);
constexpr int most_failures = 1000;
}  // namespace

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw sys_error("epoll_create1");
}

void EventLoop::watch(int fd, std::uint32_t events, FdHandler& handler) {
  epoll_event event{.events = events, .data = {.ptr = &handler}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw sys_error("epoll_ctl add ", fd);
}

void EventLoop::change(int fd, std::uint32_t events, FdHandler& handler) {
  epoll_event event{.events = events, .data = {.ptr = &handler}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) throw sys_error("epoll_ctl change ", fd);
}

void EventLoop::forget(int fd) noexcept { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

EventLoop::TimerId EventLoop::after(milliseconds delay, std::function<void()> action) {
  const TimerId id{Clock::now() + delay, next_timer_++};
  timers_.emplace(id, std::move(action));
  return id;
}

std::span<char> EventLoop::scratch() {
  if (!scratch_) scratch_.reset(new char[scratch_size]);  // not zeroed: pages that no read fills are never touched
  give_back_memory_later();
  return {scratch_.get(), scratch_size};
}

void EventLoop::give_back_memory_later() {
  if (std::exchange(memory_timer_set_, true)) return;
  after(memory_delay, [this] {
    memory_timer_set_ = false;
    scratch_.reset();
    if (give_back_) give_back_();
    ::malloc_trim(0);
  });
}

void EventLoop::run() {
  for (int failures = 0; running_;) {
    try {
      run_once(milliseconds(-1));
    } catch (const std::exception& error) {
      log::error("shim event", {{"error", error.what()}});
      if (++failures > most_failures) throw;
    }
  }
}

void EventLoop::run_once(milliseconds limit) {
  run_deferred();
  if (!running_) return;
  std::int64_t wait = limit.count();
  if (!timers_.empty()) {
    const auto due = std::chrono::ceil<milliseconds>(timers_.begin()->first.first - Clock::now()).count();
    const std::int64_t until_due = std::max<std::int64_t>(due, 0);
    wait = wait < 0 ? until_due : std::min(wait, until_due);
  }
  epoll_event event{};
  const int count = ::epoll_wait(epoll_.get(), &event, 1, static_cast<int>(std::min<std::int64_t>(wait, 3'600'000)));
  if (count < 0 && errno != EINTR) throw sys_error("epoll_wait");
  if (count == 1) static_cast<FdHandler*>(event.data.ptr)->on_ready(event.events);
  run_due_timers();
  run_deferred();
}

void EventLoop::run_deferred() {
  while (!deferred_.empty()) {
    const std::function<void()> action = std::move(deferred_.front());
    deferred_.pop_front();  // before the call: it may throw, and the others still run
    action();
  }
}

void EventLoop::run_due_timers() {
  const Clock::time_point moment = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= moment) {
    auto node = timers_.extract(timers_.begin());
    node.mapped()();
  }
}

}  // namespace mydocker::shim
