// Readers: the threads that turn request bodies into work (parsing, templates, tokenising), so that neither the
// connections nor the generator wait for it. Two: what is large goes to one of them in turn, so what is small never
// stands behind more than what is small. Work whose client left is dropped unbegun.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/cancel.h"

namespace retort::serve {

class Readers {
 public:
  Readers();
  ~Readers();  // stop()
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  // Queues `work` on a body of `bytes`; dropped without a call once `gone` is requested or after stop(). `work` lets
  // nothing out.
  void add(size_t bytes, Cancel gone, std::function<void()> work);
  // Drops what waits and returns when what runs has ended. Idempotent.
  void stop();

 private:
  struct Job {
    Cancel gone;
    std::function<void()> work;
  };
  void run(bool large);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> small_, large_;  // guarded by mutex_
  bool stop_ = false;              // guarded by mutex_
  std::thread threads_[2];
};

}  // namespace retort::serve
