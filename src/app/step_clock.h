// StepClock: how long a step has worked, all tries together, those that were killed included: while a try lasts, the
// seconds so far are noted four times a second, and the next try goes on from the last note. The file also holds the
// name that the step's work has in the cost book, drawn anew whenever the work folder was begun anew, so that no
// work's rows replace those of other work.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/env.h"
#include "base/result.h"

namespace retort::app {

inline constexpr const char* kClockName = "clock.txt";

struct ClockNote {
  std::string run;  // eight hexadecimal digits
  double seconds = 0;
};

// What `work`/clock.txt says; NotFound where there is none. A torn last line is left out.
Result<ClockNote> read_clock(const std::string& work, Env& env);

class StepClock {
 public:
  // Goes on from what `work` holds. Errors: Io.
  static Result<std::unique_ptr<StepClock>> start(const std::string& work, Env& env);
  // Notes the seconds a last time.
  ~StepClock();
  StepClock(const StepClock&) = delete;
  StepClock& operator=(const StepClock&) = delete;

  const std::string& run() const { return run_; }
  // Of all tries so far. Thread-safe.
  double seconds() const;

 private:
  StepClock(ClockNote before, std::unique_ptr<AppendFile> file, Env& env);
  void note();

  const std::string run_;
  const double before_;
  Env& env_;
  const int64_t start_us_;
  std::unique_ptr<AppendFile> file_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace retort::app
