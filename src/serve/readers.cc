#include "serve/readers.h"

#include <malloc.h>

namespace retort::serve {
namespace {

constexpr size_t kLargeBytes = 128u << 10;  // read and tokenised in well under a second

}  // namespace

Readers::Readers() {
  for (const bool large : {false, true}) threads_[large ? 1 : 0] = std::thread([this, large] { run(large); });
}

Readers::~Readers() { stop(); }

void Readers::add(size_t bytes, Cancel gone, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return;
    (bytes > kLargeBytes ? large_ : small_).push_back({std::move(gone), std::move(work)});
  }
  wake_.notify_all();
}

void Readers::run(bool large) {
  for (;;) {
    Job job;
    bool was_large = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !small_.empty() || (large && !large_.empty()); });
      if (stop_) return;
      was_large = large && !large_.empty();
      std::deque<Job>& queue = was_large ? large_ : small_;
      job = std::move(queue.front());
      queue.pop_front();
    }
    if (!job.gone.requested()) job.work();
    job = {};
    if (was_large) ::malloc_trim(0);  // what a large body took is the machine's again, not this process's
  }
}

void Readers::stop() {
  std::deque<Job> dropped[2];
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    small_.swap(dropped[0]);
    large_.swap(dropped[1]);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

}  // namespace retort::serve
