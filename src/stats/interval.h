// Intervals for proportions and means, exact tests for paired and unpaired counts, and the unbiased pass@k. The
// distributions come from Boost.Math; every figure is checked against SciPy (tests/make_stats_golden.py).
// Preconditions are the caller's to keep (0 <= successes <= n, 0 < confidence < 1): they are RETORT_CHECKed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace retort::stats {

struct Interval {
  double low = 0;
  double high = 1;
};

// Score interval for a proportion (Wilson 1927). n = 0 gives [0, 1].
Interval wilson(int64_t successes, int64_t n, double confidence = 0.95);
// Exact interval for a proportion (Clopper and Pearson 1934): never covers less than `confidence`.
Interval clopper_pearson(int64_t successes, int64_t n, double confidence = 0.95);

// Two-sided exact binomial test: the probability under `p` of outcomes no likelier than `successes`. n = 0 gives 1.
double binomial_test(int64_t successes, int64_t n, double p = 0.5);
// Exact McNemar test of paired yes/no results: of the discordant pairs, `only_a` went one way and `only_b` the other.
double mcnemar_exact(int64_t only_a, int64_t only_b);

struct TwoProportions {
  double difference = 0;  // a/n_a - b/n_b
  Interval interval;      // Newcombe's hybrid score interval (1998, method 10)
  double p_value = 1;     // pooled two-sided z test, without continuity correction
};
// Unpaired comparison of a of n_a with b of n_b. Precondition: n_a, n_b > 0.
TwoProportions two_proportions(int64_t a, int64_t n_a, int64_t b, int64_t n_b, double confidence = 0.95);

struct Mean {
  double mean = 0;
  double standard_error = 0;  // NaN where it cannot be known (fewer than two values or clusters)
  Interval interval;          // Student's t; [-inf, inf] where the error is unknown
};
// Mean of independent values. An empty span gives mean NaN.
Mean mean_t(std::span<const double> values, double confidence = 0.95);

// Mean over all values where those of one cluster (the samples of one prompt) depend on each other: the linearised
// error of a ratio estimator, with (clusters - 1) degrees of freedom (Cochran 1977, section 9A). `clusters[i]` holds
// the values of cluster i; empty clusters are left out. Equal sizes give exactly mean_t() of the clusters' means.
Mean clustered_mean(std::span<const std::vector<double>> clusters, double confidence = 0.95);

// Unbiased estimate of the chance that at least one of k draws is correct, from `correct` of n samples (Chen et al.
// 2021): 1 - C(n - correct, k) / C(n, k). Precondition: 1 <= k <= n.
double pass_at_k(int64_t n, int64_t correct, int64_t k);

// The q-quantile (0 <= q <= 1) of `sorted` by linear interpolation (NumPy's default). NaN where empty.
double quantile(std::span<const double> sorted, double q);

}  // namespace retort::stats
