#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <deque>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

/// The seam between coroutines (one I/O thread, all engine state) and blocking code (pools). STYLE 3.7.
namespace mydocker::engine {

namespace asio = boost::asio;
using asio::awaitable;

/// Runs `work` on the pool and resumes on the caller's executor with its result or exception. Not cancellable: a verb
/// that is cancelled meanwhile still waits for the work, so `work` may refer to what the coroutine owns.
template <typename Work>
awaitable<std::invoke_result_t<Work&>> blocking(asio::thread_pool& pool, Work work) {
  using Result = std::invoke_result_t<Work&>;
  struct Outcome {
    std::conditional_t<std::is_void_v<Result>, bool, std::optional<Result>> value{};
    std::exception_ptr failure;
  } outcome;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto initiate = [&](auto handler) {
    asio::post(pool, [&outcome, &work, executor, handler = std::move(handler)]() mutable {
      try {
        if constexpr (std::is_void_v<Result>) {
          work();
        } else {
          outcome.value.emplace(work());
        }
      } catch (...) {  // carried over to the coroutine, whatever it is
        outcome.failure = std::current_exception();
      }
      asio::post(executor, std::move(handler));
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(initiate, asio::use_awaitable);
  if (outcome.failure) std::rethrow_exception(outcome.failure);
  if constexpr (!std::is_void_v<Result>) co_return std::move(*outcome.value);
}

/// "Something changed": coroutines wait until somebody notifies. I/O thread only. Check the state before waiting:
/// a notification wakes those who wait now and is not kept.
class Signal {
 public:
  explicit Signal(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  /// Until the next notify_all, or cancellation of the coroutine.
  awaitable<void> wait();
  /// As wait; false when `timeout` passed first.
  awaitable<bool> wait_for(std::chrono::nanoseconds timeout);
  void notify_all();

 private:
  asio::any_io_executor executor_;
  std::list<asio::steady_timer*> waiters_;
};

class TurnQueue;

/// The right to change one container; given back by the destructor. Move-only; I/O thread only.
class Turn {
 public:
  Turn() = default;
  Turn(Turn&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
  Turn& operator=(Turn&& other) noexcept {
    std::swap(queue_, other.queue_);
    return *this;
  }
  ~Turn();

 private:
  friend class TurnQueue;
  explicit Turn(TurnQueue* queue) : queue_(queue) {}
  TurnQueue* queue_ = nullptr;
};

/// First come, first served. The queue outlives its turns. I/O thread only.
class TurnQueue {
 public:
  explicit TurnQueue(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  TurnQueue(const TurnQueue&) = delete;
  TurnQueue& operator=(const TurnQueue&) = delete;

  awaitable<Turn> take();

 private:
  friend class Turn;
  struct Waiter {
    asio::steady_timer timer;
    bool granted = false;
  };
  void give_on();

  asio::any_io_executor executor_;
  bool taken_ = false;
  std::deque<std::shared_ptr<Waiter>> waiters_;
};

/// Starts a coroutine that nobody awaits; an exception that leaves it is logged under `name`.
void spawn(const asio::any_io_executor& executor, std::string name, awaitable<void> work);

}  // namespace mydocker::engine
