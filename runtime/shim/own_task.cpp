#include "engine/base/sys.h"
#include "runtime/shim/container_task.h"

namespace mydocker::shim {
namespace {

/// The runtime library, in this process.
class OwnTask final : public ContainerTask {
 public:
  void create(runtime::TaskOptions options) override { task_ = runtime::Task::create(std::move(options)); }
  bool finds_cgroup() const noexcept override { return false; }
  UniqueFd netns() const override { return task_.netns(); }
  void wait_created() override { task_.wait_created(); }
  UniqueFd take_console() override { return task_.take_console(); }
  void start() override {
    task_.start();
    task_.release();
    started_ = true;
  }
  ExecProcess exec(const runtime::ExecOptions& options) override {
    runtime::Task task = runtime::exec_task(options);
    task.release();
    return {.pid = task.pid(), .pidfd = duplicate_fd(task.pidfd()), .console = task.take_console()};
  }
  bool kill(int signal) override { return task_.pidfd() >= 0 && signal_pidfd(task_.pidfd(), signal); }
  void remove() noexcept override {
    if (!started_) task_ = runtime::Task();
  }
  pid_t pid() const noexcept override { return task_.pid(); }
  int pidfd() const noexcept override { return task_.pidfd(); }
  const Trace& trace() const noexcept override { return task_.trace(); }

 private:
  runtime::Task task_;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<ContainerTask> make_own_task() { return std::make_unique<OwnTask>(); }

}  // namespace mydocker::shim
