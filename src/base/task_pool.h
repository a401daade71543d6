// Workers for data-parallel loops. run() hands out task indices; which worker takes which is not fixed, so a task must
// write only what belongs to its index: results then depend on neither the thread count nor the schedule.
// Workers spin briefly (a decode step issues hundreds of short loops), then sleep, so an idle pool costs nothing.
#pragma once

#include <functional>
#include <memory>

namespace retort {

// Threads this process may use: the affinity mask, bounded by the cgroup's CPU quota (v1 or v2), at least 1.
int available_threads();

class TaskPool {
 public:
  // `threads` counts the caller; 0 means available_threads().
  explicit TaskPool(int threads = 0);
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  int threads() const;
  // Calls body(i) for every i in [0, tasks) and returns when all are done. The caller works too. Calls from different
  // threads take turns; calls from within a body run inline.
  void run(int tasks, const std::function<void(int)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort
