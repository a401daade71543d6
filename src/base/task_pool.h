// Workers for data-parallel loops. run() hands out task indices; which worker takes which is not fixed, so a task must
// write only what belongs to its index: results then depend on neither the thread count nor the schedule.
// Workers spin briefly (a decode step issues hundreds of short loops), then sleep, so an idle pool costs nothing.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"

namespace retort {

// Threads this process may use: the affinity mask, bounded by the cgroup's CPU quota (v1 or v2), at least 1.
int available_threads();

// Invalid where `threads` (0: as many as available) is negative or more than any use on this machine: beyond 64 and
// four for each that it has.
Status check_threads(int threads);

class TaskPool {
 public:
  // `threads` counts the caller; 0 means available_threads(). Where the machine gives no more threads, the pool works
  // with those that it has.
  explicit TaskPool(int threads = 0);
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  int threads() const;
  // Calls body(i) for every i in [0, tasks) and returns when all are done. The caller works too. Calls from different
  // threads take turns; calls from within a body run inline. What a body throws is thrown here, the first of several,
  // once no worker runs `body` any more; tasks that nobody had begun are then left out.
  void run(int tasks, const std::function<void(int)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort
