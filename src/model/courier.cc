#include "model/courier.h"

namespace retort::model {

Courier::~Courier() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Courier::deliver(std::function<void(Result<Reply>)> on_done, Result<Reply> result) {
  {
    const std::lock_guard lock(mutex_);
    queue_.emplace_back(std::move(on_done), std::move(result));
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  wake_.notify_all();
}

void Courier::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto [on_done, result] = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    on_done(std::move(result));
    lock.lock();
  }
}

}  // namespace retort::model
