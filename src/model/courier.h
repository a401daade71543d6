// Courier: ends requests whose result is known at once, from a thread of its own, so that no callback comes from inside
// submit() (a caller may hold a lock there).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "model/generator.h"

namespace retort::model {

class Courier {
 public:
  Courier() = default;
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;
  ~Courier();  // delivers what is left before it returns
  void deliver(std::function<void(Result<Reply>)> on_done, Result<Reply> result);

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::pair<std::function<void(Result<Reply>)>, Result<Reply>>> queue_;  // guarded by mutex_
  bool stop_ = false;                                                               // guarded by mutex_
  std::thread thread_;                                                              // started by the first delivery
};

}  // namespace retort::model
