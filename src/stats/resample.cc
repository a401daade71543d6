#include "stats/resample.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace retort::stats {

Interval paired_bootstrap(std::span<const double> differences, uint64_t seed, double confidence, int resamples) {
  RETORT_CHECK(confidence > 0 && confidence < 1 && resamples > 0);
  if (differences.size() < 2)
    return {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  std::vector<double> means(static_cast<size_t>(resamples));
  for (size_t r = 0; r < means.size(); ++r) {
    Random random(seed, r);
    double sum = 0;
    for (size_t i = 0; i < differences.size(); ++i) sum += differences[random.below(differences.size())];
    means[r] = sum / static_cast<double>(differences.size());
  }
  std::sort(means.begin(), means.end());
  return {quantile(means, (1 - confidence) / 2), quantile(means, (1 + confidence) / 2)};
}

Permutation paired_permutation(std::span<const double> differences, uint64_t seed, int resamples) {
  RETORT_CHECK(resamples > 0);
  std::vector<double> moving;  // a zero has no sign to flip
  for (const double d : differences)
    if (d != 0) moving.push_back(d);
  if (moving.empty()) return {1, true};
  double observed = 0, scale = 0;
  for (const double d : moving) observed += d, scale += std::abs(d);
  // Sums that differ by rounding only are equal.
  const double bound = std::abs(observed) - 1e-12 * scale;

  if (moving.size() <= static_cast<size_t>(kExactPairs)) {
    const uint64_t all = uint64_t{1} << moving.size();
    uint64_t hits = 0;
    double sum = -scale;
    for (double& d : moving) d = std::abs(d);  // flipping all signs: the set of assignments is the same
    for (uint64_t code = 0, gray = 0;;) {      // Gray code: each step flips one sign
      hits += std::abs(sum) >= bound ? 1 : 0;
      if (++code == all) break;
      const uint64_t next = code ^ (code >> 1);
      const int bit = std::countr_zero(gray ^ next);
      sum += ((next >> bit) & 1 ? 2 : -2) * moving[static_cast<size_t>(bit)];
      gray = next;
    }
    return {static_cast<double>(hits) / static_cast<double>(all), true};
  }

  int64_t hits = 0;
  for (int r = 0; r < resamples; ++r) {
    Random random(seed, static_cast<uint64_t>(r));
    double sum = 0;
    uint64_t bits = 0;
    for (size_t i = 0; i < moving.size(); ++i) {
      if (i % 64 == 0) bits = random.next();
      sum += (bits >> (i % 64)) & 1 ? moving[i] : -moving[i];
    }
    hits += std::abs(sum) >= bound ? 1 : 0;
  }
  return {static_cast<double>(hits + 1) / static_cast<double>(resamples + 1), false};
}

}  // namespace retort::stats
