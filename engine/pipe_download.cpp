#include "engine/pipe_download.h"

#include <fcntl.h>

#include "engine/base/sys.h"

namespace mydocker::engine {
namespace {

constexpr int pipe_bytes = 1 << 20;

/// What the pool's thread and the I/O thread share.
struct Shared {
  explicit Shared(const asio::any_io_executor& io) : done(io) {}
  Signal done;
  bool finished = false;
  std::exception_ptr failure;
};

class PipeDownload : public Download {
 public:
  PipeDownload(UniqueFd read_end, std::shared_ptr<Shared> shared)
      : read_end_(std::move(read_end)), shared_(std::move(shared)) {}

  UniqueFd take_pipe() override { return std::move(read_end_); }

  awaitable<void> finish() override {
    while (!shared_->finished) co_await shared_->done.wait();
    if (shared_->failure) std::rethrow_exception(shared_->failure);
  }

 private:
  UniqueFd read_end_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace

std::unique_ptr<Download> start_download(EngineState& state, std::function<void(int out)> work) {
  Pipe pipe = make_pipe();
  ::fcntl(pipe.write.get(), F_SETPIPE_SZ, pipe_bytes);  // an optimization: a small pipe works as well
  auto shared = std::make_shared<Shared>(state.io);
  asio::post(state.transfer_pool,
             [io = state.io, shared, work = std::move(work), out = std::make_shared<UniqueFd>(std::move(pipe.write))] {
               std::exception_ptr failure;
               try {
                 work(out->get());
               } catch (...) {  // handed to whoever awaits finish()
                 failure = std::current_exception();
               }
               out->reset();
               asio::post(io, [shared, failure] {
                 shared->failure = failure;
                 shared->finished = true;
                 shared->done.notify_all();
               });
             });
  return std::make_unique<PipeDownload>(std::move(pipe.read), std::move(shared));
}

}  // namespace mydocker::engine
