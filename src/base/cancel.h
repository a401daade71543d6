// A request to stop, shared by whoever asks and whoever works. Copies share one state. Async-signal-safe to set.
#pragma once

#include <atomic>
#include <memory>

namespace retort {

class Cancel {
 public:
  Cancel() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void request() const { flag_->store(true, std::memory_order_relaxed); }
  bool requested() const { return flag_->load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

// The process's token: SIGINT and SIGTERM set it once catch_signals() was called (a second signal ends the process at
// once).
const Cancel& process_cancel();
void catch_signals();

}  // namespace retort
