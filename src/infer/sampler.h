// The next token from logits. A draw is a pure function of (logits, sampling, seed, choice, position): counter-based
// randomness, no state, so neither batching nor resuming changes it; and the kernels' exponential, so that neither does
// the C library.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/generator.h"

namespace retort::infer {

// Invalid, naming the value and its range, for a sampling that no distribution comes from.
Status check_sampling(const model::Sampling& sampling);

// Places of the `k` largest values (all of them where there are fewer): largest first, the first among equals.
std::vector<int32_t> largest(std::span<const float> values, size_t k);

// Temperature, then top_k, then top_p (the smallest set of likeliest tokens whose probability reaches it), then one
// draw. Temperature 0: the largest logit, the lowest id among equals. `logits` [vocabulary] finite, `sampling` checked.
int32_t sample(std::span<const float> logits, const model::Sampling& sampling, uint64_t seed, int choice, int position);

}  // namespace retort::infer
