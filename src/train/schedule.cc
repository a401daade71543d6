#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace retort::train {

Status check(const ScheduleOptions& o) {
  RETORT_TRY(check_options(o, "schedule"));
  if (o.shape == "wsd" && o.warmup + o.decay > 1)
    return fail(Code::Invalid, "schedule.warmup {} and schedule.decay {} together pass 1", o.warmup, o.decay);
  return {};
}

double learning_rate_factor(const ScheduleOptions& o, int64_t step, int64_t steps) {
  const auto share = [&](double part) { return static_cast<int64_t>(std::llround(part * static_cast<double>(steps))); };
  const int64_t warm = share(o.warmup);
  if (step <= warm) return static_cast<double>(step) / static_cast<double>(warm);
  if (o.shape == "constant") return 1.0;
  if (o.shape == "cosine") {
    const double t = static_cast<double>(step - warm) / static_cast<double>(std::max<int64_t>(1, steps - warm));
    return o.floor + (1 - o.floor) * 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, t)));
  }
  const int64_t down = share(o.decay), from = steps - down;
  if (step <= from) return 1.0;
  return 1.0 - (1 - o.floor) * static_cast<double>(std::min(step, steps) - from) / static_cast<double>(down);
}

}  // namespace retort::train
