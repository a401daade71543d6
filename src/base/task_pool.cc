#include "base/task_pool.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sched.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace retort {
namespace {

// About 30 us on current cores: longer than the gap between two loops of a decode step, short beside a scheduler tick.
constexpr int kSpins = 2000;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // as long as x86's pause; `yield` does nothing on most cores
#else
  std::this_thread::yield();
#endif
}

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// CPUs granted by the cgroup, or 0 where there is no quota. Each level up to the root may hold one; the least counts.
double cgroup_cpus() {
  double least = 0;
  const auto take = [&](double quota, double period) {
    if (quota > 0 && period > 0 && (least == 0 || quota / period < least)) least = quota / period;
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (a == std::string::npos || b == std::string::npos) continue;
    const std::string controllers = line.substr(a + 1, b - a - 1);
    const bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    const std::string base = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    for (std::string path = line.substr(b + 1);; path = path.substr(0, path.rfind('/'))) {
      if (v2) {
        std::istringstream text(first_line(base + path + "/cpu.max"));
        std::string quota;
        double period = 0;
        if (text >> quota >> period && quota != "max") take(std::atof(quota.c_str()), period);
      } else {
        take(std::atof(first_line(base + path + "/cpu.cfs_quota_us").c_str()),
             std::atof(first_line(base + path + "/cpu.cfs_period_us").c_str()));
      }
      if (path.empty() || path == "/") break;
    }
  }
  return least;
}

thread_local bool t_inside = false;

}  // namespace

int available_threads() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  const double quota = cgroup_cpus();
  if (quota > 0) count = std::min(count, static_cast<int>(std::ceil(quota)));
  return std::max(count, 1);
}

Status check_threads(int threads) {
  const int has = available_threads(), most = std::max(64, 4 * has);
  if (threads < 0 || threads > most)
    return fail(Code::Invalid, "{} threads are outside 0 to {}; this machine has {}, and 0 takes them all", threads,
                most, has);
  return {};
}

struct TaskPool::State {
  std::mutex one_caller;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;
  const std::function<void(int)>* body = nullptr;
  int tasks = 0;
  std::atomic<uint64_t> generation{0};
  std::atomic<int> next{0};
  std::atomic<int> working{0};
  std::atomic<int> asleep{0};
  std::atomic<bool> stop{false};
  std::mutex failure_mutex;
  std::exception_ptr failure;  // the first of this run

  void work() {
    t_inside = true;
    try {
      for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) (*body)(i);
    } catch (...) {
      next.store(tasks, std::memory_order_relaxed);
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
    t_inside = false;
  }

  void worker() {
    uint64_t seen = 0;
    for (;;) {
      uint64_t now = generation.load(std::memory_order_acquire);
      for (int spins = 0; now == seen && spins < kSpins; ++spins) {
        pause_cpu();
        now = generation.load(std::memory_order_acquire);
      }
      if (now == seen) {
        std::unique_lock lock(mutex);
        asleep.fetch_add(1);
        wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
        asleep.fetch_sub(1);
        now = generation.load(std::memory_order_acquire);
      }
      seen = now;
      if (stop.load(std::memory_order_relaxed)) return;
      work();
      working.fetch_sub(1, std::memory_order_release);
    }
  }

  void announce() {
    generation.fetch_add(1);  // seq_cst: pairs with asleep below
    if (asleep.load() > 0) {
      {
        const std::lock_guard lock(mutex);
      }
      wake.notify_all();
    }
  }
};

TaskPool::TaskPool(int threads) : state_(std::make_unique<State>()) {
  const int count = threads > 0 ? threads : available_threads();
  try {
    for (int i = 1; i < count; ++i) state_->workers.emplace_back([this] { state_->worker(); });
  } catch (const std::system_error&) {  // a limit on processes
  }
}

TaskPool::~TaskPool() {
  state_->stop.store(true);
  {
    const std::lock_guard lock(state_->mutex);
    state_->generation.fetch_add(1);
  }
  state_->wake.notify_all();
  for (auto& worker : state_->workers) worker.join();
}

int TaskPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void TaskPool::run(int tasks, const std::function<void(int)>& body) {
  if (tasks <= 0) return;
  State& s = *state_;
  if (tasks == 1 || s.workers.empty() || t_inside) {
    for (int i = 0; i < tasks; ++i) body(i);
    return;
  }
  const std::lock_guard turn(s.one_caller);
  s.body = &body;
  s.tasks = tasks;
  s.next.store(0, std::memory_order_relaxed);
  s.working.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  s.announce();
  s.work();
  for (int spins = 0; s.working.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins)
      pause_cpu();
    else
      std::this_thread::yield();
  }
  if (s.failure) std::rethrow_exception(std::exchange(s.failure, nullptr));
}

}  // namespace retort
