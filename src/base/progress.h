// Progress of long work on standard error: a bar with rate and time left on a terminal, a plain line at most every ten
// seconds elsewhere, nothing under --quiet. Thread-safe; one bar at a time owns the last terminal line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace retort {

class Progress {
 public:
  // `total` may be 0 when unknown. `unit` as in "tokens". Shown until finish() or destruction.
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Sets the work done so far and a short note ("loss 1.234", "spent $0.02").
  void update(int64_t done, std::string_view note = {});
  void finish(std::string_view note = {});

  // Process-wide: turns all progress off (--quiet, tests).
  static void silence(bool quiet);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "3m 05s", "1h 02m", "0.8s".
std::string format_duration(double seconds);
// "12.3k", "4.5M": three significant digits.
std::string format_count(double value);

}  // namespace retort
