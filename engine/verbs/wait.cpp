#include "engine/engine.h"
#include "engine/engine_state.h"

/// ContainerWait (WIRE 10).
namespace mydocker::engine {
namespace {

class Waiter : public ExitWait {
 public:
  Waiter(ContainerPtr container, WaitCondition condition)
      : container_(std::move(container)), condition_(condition), exits_before_(container_->exits) {}

  awaitable<api::WaitResponse> result() override {
    while (!is_met()) co_await container_->changed.wait();
    api::WaitResponse response;
    response.status_code = container_->record.exit_code;
    // Docker quirk: who waits for the removal hears of a failed removal alone (container/state.go).
    const bool start_failed = condition_ != WaitCondition::removed && container_->start_failed;
    const std::string& error = start_failed ? container_->record.error : container_->removal_error;
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
        return container_->exits != exits_before_;
      case WaitCondition::not_running:
        return container_->exits != exits_before_ || !derive_flags(container_->state).running;
    }
    return true;
  }

  ContainerPtr container_;
  WaitCondition condition_;
  std::uint64_t exits_before_;
};

}  // namespace

std::unique_ptr<ExitWait> Engine::wait(const std::string& id, WaitCondition condition) {
  return std::make_unique<Waiter>(state_->containers.get(id), condition);
}

}  // namespace mydocker::engine
