// Pace: how many requests may be in flight now, and Minute: how many may be sent within one. Additive increase,
// multiplicative decrease (Chiu and Jain 1989) on the teacher's "later", and its Retry-After respected. Plain
// arithmetic on a clock that is passed in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

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

// An account's limits on requests and tokens: what was sent in the last minute stays within them.
class Minute {
 public:
  // 0: no limit.
  Minute(int64_t requests, int64_t tokens) : most_requests_(requests), most_tokens_(tokens) {}

  // True where a request that may take `tokens` fits. One that alone passes the limit goes when nothing else is there.
  bool has_room(int64_t now_us, int64_t tokens) {
    while (!sent_.empty() && now_us - sent_.front().at_us >= 60'000'000) {
      tokens_ -= sent_.front().tokens;
      sent_.pop_front();
      ++first_;
    }
    if (most_requests_ > 0 && static_cast<int64_t>(sent_.size()) >= most_requests_) return false;
    return most_tokens_ == 0 || sent_.empty() || tokens_ + tokens <= most_tokens_;
  }
  // Notes a request; what it returns names it to used().
  int64_t sent(int64_t now_us, int64_t tokens) {
    sent_.push_back({now_us, tokens});
    tokens_ += tokens;
    return first_ + static_cast<int64_t>(sent_.size()) - 1;
  }
  // It took `tokens` only.
  void used(int64_t ticket, int64_t tokens) {
    if (ticket < first_) return;
    Sent& sent = sent_[static_cast<size_t>(ticket - first_)];
    const int64_t real = std::clamp<int64_t>(tokens, 0, sent.tokens);
    tokens_ -= sent.tokens - real;
    sent.tokens = real;
  }

 private:
  struct Sent {
    int64_t at_us, tokens;
  };
  int64_t most_requests_, most_tokens_;
  std::deque<Sent> sent_;
  int64_t first_ = 0;   // ticket of sent_.front()
  int64_t tokens_ = 0;  // of sent_
};

}  // namespace retort::collect
