// The learning rate of each step: a pure function of the step and the number of steps.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "train/options.h"

namespace retort::train {

Status check(const ScheduleOptions& options);

// Factor of the peak learning rate at `step` (from 1) of `steps`. Warm-up is linear over w = round(warmup * steps)
// steps and reaches 1 at step w. cosine: floor + (1 - floor) * (1 + cos(pi * t)) / 2, t from 0 after warm-up to 1 at
// the last step. wsd (Hu et al., arXiv:2404.06395): 1, then a line to `floor` over the last round(decay * steps) steps.
double learning_rate_factor(const ScheduleOptions& options, int64_t step, int64_t steps);

}  // namespace retort::train
