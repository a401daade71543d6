// stats against SciPy's golden values (tests/make_stats_golden.py), and the properties that no table can show:
// coverage, order, seeds.
#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "stats/interval.h"
#include "stats/resample.h"

namespace retort::stats {
namespace {

const Json& golden() {
  static const Json rows = [] {
    std::ifstream in(std::string(RETORT_SOURCE_DIR) + "/tests/stats_golden.json");
    std::stringstream text;
    text << in.rdbuf();
    auto parsed = parse_json(text.str());
    EXPECT_TRUE(parsed.ok());
    return parsed.ok() ? *parsed : Json::object();
  }();
  return rows;
}

void near(double got, const Json& want, const std::string& where, double relative = 1e-9) {
  const double value = want.get<double>();
  EXPECT_NEAR(got, value, std::max(1e-13, relative * std::abs(value))) << where;
}

void each(const char* name, const std::function<void(const Json&, const std::string&)>& check) {
  ASSERT_TRUE(golden().contains(name)) << name;
  ASSERT_FALSE(golden()[name].empty()) << name;
  for (const Json& row : golden()[name]) check(row, std::string(name) + " " + to_text(row).substr(0, 200));
}

TEST(Stats, EqualsSciPy) {
  each("wilson", [](const Json& r, const std::string& at) {
    const Interval i = wilson(r["k"], r["n"], r["confidence"]);
    near(i.low, r["low"], at), near(i.high, r["high"], at);
  });
  each("clopper_pearson", [](const Json& r, const std::string& at) {
    const Interval i = clopper_pearson(r["k"], r["n"], r["confidence"]);
    near(i.low, r["low"], at), near(i.high, r["high"], at);
  });
  each("binomial_test",
       [](const Json& r, const std::string& at) { near(binomial_test(r["k"], r["n"], r["p"]), r["value"], at); });
  each("two_proportions", [](const Json& r, const std::string& at) {
    const TwoProportions t = two_proportions(r["a"], r["n_a"], r["b"], r["n_b"]);
    near(t.difference, r["difference"], at), near(t.p_value, r["p_value"], at);
    near(t.interval.low, r["low"], at), near(t.interval.high, r["high"], at);
  });
  each("mean_t", [](const Json& r, const std::string& at) {
    const Mean m = mean_t(r["values"].get<std::vector<double>>(), r["confidence"]);
    near(m.mean, r["mean"], at), near(m.standard_error, r["standard_error"], at);
    near(m.interval.low, r["low"], at), near(m.interval.high, r["high"], at);
  });
  each("clustered_mean", [](const Json& r, const std::string& at) {
    const Mean m = clustered_mean(r["clusters"].get<std::vector<std::vector<double>>>(), r["confidence"]);
    near(m.mean, r["mean"], at), near(m.standard_error, r["standard_error"], at);
    near(m.interval.low, r["low"], at), near(m.interval.high, r["high"], at);
  });
  each("pass_at_k",
       [](const Json& r, const std::string& at) { near(pass_at_k(r["n"], r["c"], r["k"]), r["value"], at); });
  each("paired_permutation", [](const Json& r, const std::string& at) {
    const Permutation p = paired_permutation(r["values"].get<std::vector<double>>(), 1);
    EXPECT_TRUE(p.exact);
    near(p.p_value, r["p_value"], at);
  });
  each("quantile", [](const Json& r, const std::string& at) {
    near(quantile(r["values"].get<std::vector<double>>(), r["q"]), r["value"], at);
  });
}

TEST(Stats, IntervalsHoldTheEstimateAndNest) {
  for (int64_t n = 0; n <= 40; ++n) {
    for (int64_t k = 0; k <= n; ++k) {
      const double p = n == 0 ? 0.5 : static_cast<double>(k) / static_cast<double>(n);
      for (const auto method : {&wilson, &clopper_pearson}) {
        const Interval narrow = method(k, n, 0.9), wide = method(k, n, 0.99);
        EXPECT_LE(0, wide.low);
        EXPECT_LE(wide.high, 1);
        EXPECT_LE(wide.low, narrow.low);
        EXPECT_LE(narrow.low, p);
        EXPECT_LE(p, narrow.high);
        EXPECT_LE(narrow.high, wide.high);
        const Interval mirrored = method(n - k, n, 0.9);
        EXPECT_NEAR(mirrored.low, 1 - narrow.high, 1e-12);
      }
    }
  }
}

TEST(Stats, ClopperPearsonCoversAtLeastItsLevel) {
  constexpr int64_t n = 25;
  for (double p = 0.02; p < 1; p += 0.049) {
    double covered = 0, mass = std::pow(1 - p, n);
    for (int64_t k = 0; k <= n; ++k) {
      const Interval i = clopper_pearson(k, n);
      if (i.low <= p && p <= i.high) covered += mass;
      mass *= static_cast<double>(n - k) / static_cast<double>(k + 1) * p / (1 - p);
    }
    EXPECT_GE(covered, 0.95) << p;
  }
}

TEST(Stats, McNemarIsSymmetric) {
  EXPECT_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_EQ(mcnemar_exact(7, 7), 1);
  EXPECT_DOUBLE_EQ(mcnemar_exact(2, 11), mcnemar_exact(11, 2));
  EXPECT_DOUBLE_EQ(mcnemar_exact(0, 10), 2.0 / 1024);
}

TEST(Stats, TooFewValuesSayNothing) {
  EXPECT_TRUE(std::isnan(mean_t({}).mean));
  const std::vector<double> one{3};
  EXPECT_EQ(mean_t(one).mean, 3);
  EXPECT_TRUE(std::isinf(mean_t(one).interval.low));
  const std::vector<std::vector<double>> cluster{{1, 2, 3}, {}};
  EXPECT_TRUE(std::isinf(clustered_mean(cluster).interval.high));
  EXPECT_TRUE(std::isinf(paired_bootstrap(one, 1).low));
}

TEST(Stats, BootstrapIsSeededAndCovers) {
  Random random(5);
  int covered = 0;
  for (uint64_t trial = 0; trial < 200; ++trial) {
    std::vector<double> x(60);
    for (double& v : x) v = 0.3 + random.normal();
    const Interval i = paired_bootstrap(x, trial, 0.9, 500);
    covered += i.low <= 0.3 && 0.3 <= i.high ? 1 : 0;
    if (trial == 0) {
      EXPECT_EQ(paired_bootstrap(x, 0, 0.9, 500).low, i.low);
      EXPECT_NE(paired_bootstrap(x, 1, 0.9, 500).low, i.low);
    }
  }
  EXPECT_GE(covered, 164);  // 0.9 of 200, less 3.8 standard errors
  EXPECT_LE(covered, 196);
}

TEST(Stats, PermutationKeepsItsLevel) {
  Random random(9);
  int exact = 0, sampled = 0;
  for (uint64_t trial = 0; trial < 300; ++trial) {
    std::vector<double> few(12), many(40);
    for (double& v : few) v = random.normal();
    for (double& v : many) v = random.normal();
    exact += paired_permutation(few, trial).p_value <= 0.1 ? 1 : 0;
    const Permutation p = paired_permutation(many, trial, 400);
    EXPECT_FALSE(p.exact);
    EXPECT_GT(p.p_value, 0);
    sampled += p.p_value <= 0.1 ? 1 : 0;
  }
  EXPECT_NEAR(exact, 30, 21);
  EXPECT_NEAR(sampled, 30, 21);  // 4 standard errors
  const std::vector<double> shifted(30, 1.0);
  EXPECT_LT(paired_permutation(shifted, 3, 1000).p_value, 0.002);
  EXPECT_EQ(paired_permutation(std::vector<double>(9, 0.0), 3).p_value, 1);
}

}  // namespace
}  // namespace retort::stats
