// Resampling for paired differences: a bootstrap interval and a sign-flip permutation test. Seeded, so the same numbers
// give the same interval on any machine and thread count.
#pragma once

#include <cstdint>
#include <span>

#include "stats/interval.h"

namespace retort::stats {

// Percentile bootstrap interval of the mean of `differences` (one a pair; pairs are resampled whole). Fewer than two
// differences give [-inf, inf].
Interval paired_bootstrap(std::span<const double> differences, uint64_t seed, double confidence = 0.95,
                          int resamples = 10'000);

struct Permutation {
  double p_value = 1;
  bool exact = true;  // every sign assignment was counted
};
// Two-sided test that the differences are symmetric about zero, by flipping signs: all 2^m assignments where at most
// kExactPairs of the differences are not zero, else `resamples` random ones (p = (hits + 1) / (resamples + 1), Phipson
// and Smyth 2010).
inline constexpr int kExactPairs = 20;
Permutation paired_permutation(std::span<const double> differences, uint64_t seed, int resamples = 20'000);

}  // namespace retort::stats
