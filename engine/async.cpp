#include "engine/async.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>

#include "engine/base/error.h"
#include "engine/base/log.h"

namespace mydocker::engine {
namespace {

constexpr auto never = asio::steady_timer::time_point::max();

/// Keeps a waiter in the list for as long as the coroutine stands in it.
class Listed {
 public:
  Listed(std::list<asio::steady_timer*>& list, asio::steady_timer* timer) : list_(list) {
    position_ = list_.insert(list_.end(), timer);
  }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;
  ~Listed() { list_.erase(position_); }

 private:
  std::list<asio::steady_timer*>& list_;
  std::list<asio::steady_timer*>::iterator position_;
};

}  // namespace

awaitable<void> Signal::wait() {
  asio::steady_timer timer(executor_, never);
  const Listed listed(waiters_, &timer);
  co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

awaitable<bool> Signal::wait_for(std::chrono::nanoseconds timeout) {
  asio::steady_timer timer(executor_, timeout);
  const Listed listed(waiters_, &timer);
  const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return static_cast<bool>(error);  // an aborted timer is a notification
}

void Signal::notify_all() {
  for (asio::steady_timer* timer : waiters_) timer->cancel();
}

Turn::~Turn() {
  if (queue_ != nullptr) queue_->give_on();
}

awaitable<Turn> TurnQueue::take() {
  if (!taken_) {
    taken_ = true;
    co_return Turn(this);
  }
  const auto waiter = std::make_shared<Waiter>(Waiter{asio::steady_timer(executor_, never), false});
  waiters_.push_back(waiter);
  co_await waiter->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!waiter->granted) {  // cancelled while waiting
    waiters_.erase(std::find(waiters_.begin(), waiters_.end(), waiter));
    throw Error(ErrorKind::unavailable, "the request was cancelled");
  }
  co_return Turn(this);
}

void TurnQueue::give_on() {
  if (waiters_.empty()) {
    taken_ = false;
    return;
  }
  const std::shared_ptr<Waiter> next = waiters_.front();
  waiters_.pop_front();
  next->granted = true;
  next->timer.cancel();
}

void spawn(const asio::any_io_executor& executor, std::string name, awaitable<void> work) {
  asio::co_spawn(executor, std::move(work), [name = std::move(name)](const std::exception_ptr& failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      log::error("background task failed", {{"task", name}, {"error", e.what()}});
    }
  });
}

}  // namespace mydocker::engine
