// Pace: how many requests may be in flight now. Additive increase, multiplicative decrease (Chiu and Jain 1989) on the
// teacher's "later", and its Retry-After respected. Plain arithmetic on a clock that is passed in.
#pragma once

#include <algorithm>
#include <cstdint>

namespace retort::collect {

class Pace {
 public:
  explicit Pace(int most) : most_(most), window_(most) {}

  bool may_send(int in_flight, int64_t now_us) const { return now_us >= pause_until_us_ && in_flight < limit(); }
  int limit() const { return std::max(1, static_cast<int>(window_)); }
  int64_t pause_until_us() const { return pause_until_us_; }

  void answered() { window_ = std::min<double>(most_, window_ + 1.0 / window_); }
  // `sent_us`: when the request that was turned away had been sent. A burst that was sent before the last decrease
  // counts once.
  void turned_away(int64_t sent_us, int64_t now_us, int64_t retry_after_ms) {
    if (sent_us >= decreased_us_) {
      window_ = std::max(1.0, window_ / 2);
      decreased_us_ = now_us;
    }
    if (retry_after_ms > 0) pause_until_us_ = std::max(pause_until_us_, now_us + retry_after_ms * 1000);
  }

 private:
  int most_;
  double window_;
  int64_t decreased_us_ = INT64_MIN;
  int64_t pause_until_us_ = INT64_MIN;
};

}  // namespace retort::collect
