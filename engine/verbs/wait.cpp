#include "engine/engine.h"
#include "engine/engine_state.h"

/// ContainerWait (WIRE 10).
namespace mydocker::engine {
namespace {

/// How the run before ended.
Ending last_ending(const Container& container) {
  return {.known = true,
          .exit_code = container.record.exit_code,
          .error = container.start_failed ? container.record.error : std::string()};
}

class Waiter : public ExitWait {
 public:
  Waiter(ContainerPtr container, WaitCondition condition)
      : container_(std::move(container)), condition_(condition), ending_(container_->ending) {
    // Met already: a start that comes before the answer is written must not change it.
    if (condition_ == WaitCondition::not_running && !derive_flags(container_->state).running) {
      ending_ = std::make_shared<Ending>(last_ending(*container_));
    }
  }

  awaitable<api::WaitResponse> result() override {
    while (!is_met()) co_await container_->changed.wait();
    // Docker quirk: who waits for the removal hears of a failed removal alone (container/state.go). And who waits
    // for the next end hears no words of a failed start: `docker` prints them beside those that start itself answers.
    const bool of_a_run = condition_ != WaitCondition::removed;
    const Ending last = of_a_run && ending_->known ? *ending_ : last_ending(*container_);
    const bool tells_start = condition_ == WaitCondition::not_running && !last.error.empty();
    const std::string& error = tells_start ? last.error : container_->removal_error;
    api::WaitResponse response;
    response.status_code = last.exit_code;
    if (!error.empty()) response.error = api::WaitError{error};
    co_return response;
  }

 private:
  bool is_met() const {
    if (container_->removed || container_->state == ContainerState::dead) return true;
    switch (condition_) {
      case WaitCondition::removed:
        return false;
      case WaitCondition::next_exit:
        return ending_->known;
      case WaitCondition::not_running:
        return ending_->known || !derive_flags(container_->state).running;
    }
    return true;
  }

  ContainerPtr container_;
  WaitCondition condition_;
  std::shared_ptr<const Ending> ending_;
};

}  // namespace

std::unique_ptr<ExitWait> Engine::wait(const std::string& id, WaitCondition condition) {
  return std::make_unique<Waiter>(state_->containers.get(id), condition);
}

}  // namespace mydocker::engine
