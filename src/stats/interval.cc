#include "stats/interval.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

#include "base/check.h"

namespace retort::stats {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check_counts(int64_t successes, int64_t n, double confidence) {
  RETORT_CHECK(successes >= 0 && successes <= n);
  RETORT_CHECK(confidence > 0 && confidence < 1);
}

double normal_quantile(double confidence) { return boost::math::quantile(boost::math::normal(), 0.5 + confidence / 2); }

Mean with_t(double mean, double standard_error, double degrees, double confidence) {
  const double t = boost::math::quantile(boost::math::students_t(degrees), 0.5 + confidence / 2);
  return {mean, standard_error, {mean - t * standard_error, mean + t * standard_error}};
}

}  // namespace

Interval wilson(int64_t successes, int64_t n, double confidence) {
  check_counts(successes, n, confidence);
  if (n == 0) return {0, 1};
  const double z = normal_quantile(confidence), count = static_cast<double>(n);
  const double p = static_cast<double>(successes) / count, z2 = z * z;
  const double centre = (p + z2 / (2 * count)) / (1 + z2 / count);
  const double half = z / (1 + z2 / count) * std::sqrt(p * (1 - p) / count + z2 / (4 * count * count));
  // The ends are exactly 0 and 1 there; rounding must not put them past the estimate.
  return {successes == 0 ? 0.0 : std::max(0.0, centre - half), successes == n ? 1.0 : std::min(1.0, centre + half)};
}

Interval clopper_pearson(int64_t successes, int64_t n, double confidence) {
  check_counts(successes, n, confidence);
  if (n == 0) return {0, 1};
  const double tail = (1 - confidence) / 2, x = static_cast<double>(successes),
               rest = static_cast<double>(n - successes);
  Interval interval;
  if (successes > 0) interval.low = boost::math::quantile(boost::math::beta_distribution<>(x, rest + 1), tail);
  if (successes < n) interval.high = boost::math::quantile(boost::math::beta_distribution<>(x + 1, rest), 1 - tail);
  return interval;
}

double binomial_test(int64_t successes, int64_t n, double p) {
  RETORT_CHECK(successes >= 0 && successes <= n && p >= 0 && p <= 1);
  if (n == 0) return 1;
  const boost::math::binomial_distribution<> binomial(static_cast<double>(n), p);
  const auto mass = [&](int64_t k) { return boost::math::pdf(binomial, static_cast<double>(k)); };
  // Outcomes as likely as the observed one count; the margin absorbs rounding of equal terms (SciPy uses the same).
  const double bound = mass(successes) * (1 + 1e-7);
  // The mass rises to its mode and falls after it, so the outcomes no likelier than the observed are two tails.
  const int64_t mode = std::min<int64_t>(n, static_cast<int64_t>(std::floor(static_cast<double>(n + 1) * p)));
  if (mass(mode) <= bound) return 1;
  double sum = 0;
  if (successes < mode) {
    sum = boost::math::cdf(binomial, static_cast<double>(successes));
    int64_t low = mode, high = n + 1;  // first outcome at or after the mode that is no likelier
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (mass(middle) <= bound)
        high = middle;
      else
        low = middle + 1;
    }
    if (low <= n) sum += boost::math::cdf(boost::math::complement(binomial, static_cast<double>(low) - 1));
  } else {
    sum = successes == 0 ? 1 : boost::math::cdf(boost::math::complement(binomial, static_cast<double>(successes) - 1));
    int64_t low = -1, high = mode;  // last outcome at or before the mode that is no likelier
    while (low < high) {
      const int64_t middle = low + (high - low + 1) / 2;
      if (mass(middle) <= bound)
        low = middle;
      else
        high = middle - 1;
    }
    if (low >= 0) sum += boost::math::cdf(binomial, static_cast<double>(low));
  }
  return std::min(1.0, sum);
}

double mcnemar_exact(int64_t only_a, int64_t only_b) { return binomial_test(only_a, only_a + only_b, 0.5); }

TwoProportions two_proportions(int64_t a, int64_t n_a, int64_t b, int64_t n_b, double confidence) {
  check_counts(a, n_a, confidence);
  check_counts(b, n_b, confidence);
  RETORT_CHECK(n_a > 0 && n_b > 0);
  const double size_a = static_cast<double>(n_a), size_b = static_cast<double>(n_b);
  const double p = static_cast<double>(a) / size_a, q = static_cast<double>(b) / size_b;
  const Interval i = wilson(a, n_a, confidence), j = wilson(b, n_b, confidence);
  TwoProportions out;
  out.difference = p - q;
  out.interval = {out.difference - std::hypot(p - i.low, j.high - q),
                  out.difference + std::hypot(i.high - p, q - j.low)};
  const double pooled = static_cast<double>(a + b) / (size_a + size_b);
  const double error = std::sqrt(pooled * (1 - pooled) * (1 / size_a + 1 / size_b));
  if (error > 0) {
    const double z = std::abs(out.difference) / error;
    out.p_value = 2 * boost::math::cdf(boost::math::complement(boost::math::normal(), z));
  }
  return out;
}

Mean mean_t(std::span<const double> values, double confidence) {
  RETORT_CHECK(confidence > 0 && confidence < 1);
  if (values.empty()) return {kNan, kNan, {-kInfinity, kInfinity}};
  const double n = static_cast<double>(values.size());
  double sum = 0;
  for (const double v : values) sum += v;
  const double mean = sum / n;
  if (values.size() < 2) return {mean, kNan, {-kInfinity, kInfinity}};
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return with_t(mean, std::sqrt(squares / (n - 1) / n), n - 1, confidence);
}

Mean clustered_mean(std::span<const std::vector<double>> clusters, double confidence) {
  RETORT_CHECK(confidence > 0 && confidence < 1);
  double sum = 0, count = 0, groups = 0;
  for (const auto& cluster : clusters) {
    for (const double v : cluster) sum += v;
    count += static_cast<double>(cluster.size());
    groups += cluster.empty() ? 0 : 1;
  }
  if (count == 0) return {kNan, kNan, {-kInfinity, kInfinity}};
  const double mean = sum / count;
  if (groups < 2) return {mean, kNan, {-kInfinity, kInfinity}};
  double squares = 0;
  for (const auto& cluster : clusters) {
    double residual = 0;
    for (const double v : cluster) residual += v - mean;
    squares += residual * residual;
  }
  return with_t(mean, std::sqrt(groups / (groups - 1) * squares) / count, groups - 1, confidence);
}

double pass_at_k(int64_t n, int64_t correct, int64_t k) {
  RETORT_CHECK(k >= 1 && k <= n && correct >= 0 && correct <= n);
  if (n - correct < k) return 1;
  double miss = 1;  // the product of (1 - k / i) for i in n - correct + 1 .. n
  for (int64_t i = n - correct + 1; i <= n; ++i) miss *= 1 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - miss;
}

double quantile(std::span<const double> sorted, double q) {
  RETORT_CHECK(q >= 0 && q <= 1);
  if (sorted.empty()) return kNan;
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at), high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace retort::stats
