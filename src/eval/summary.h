// What scores say: accuracy with intervals, by task and over all, and two models side by side on the same prompts.
// Pure functions of the scores.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "record/score.h"
#include "stats/interval.h"

namespace retort::eval {

// Below this many prompts a figure is marked as small: its 95 % interval is wider than +-0.18 in the middle.
inline constexpr int64_t kSmall = 30;

struct Figures {
  int64_t prompts = 0;
  int64_t scores = 0;
  int64_t samples = 0;                // the smallest count of samples that a prompt has
  double pass1 = 0;                   // mean over all samples
  stats::Interval pass1_interval;     // one sample a prompt: Wilson; several: clustered by prompt (Wilson over prompts
                                      // where the clusters all agree)
  std::map<int64_t, double> pass_at;  // k = 1, 2, 4, ... and `samples`: unbiased pass@k
  double majority = 0;                // maj@samples: the most frequent answer, the earliest among equals
  stats::Interval majority_interval;  // Wilson over prompts
  double truncated = 0;               // share cut off by the token limit
  double no_answer = 0;               // share without an extractable answer
  double mean_tokens = 0;
  bool small = false;
};

struct Summary {
  std::string model;
  Figures all;
  std::map<std::string, Figures> tasks;
};

Summary summarise(const std::vector<Score>& scores);
Json encode(const Summary& summary);
// A table for a terminal, one line a task and one for all.
std::string table(const Summary& summary);

struct Comparison {
  std::string model_a, model_b;
  std::string task;          // "" for all
  int64_t prompts = 0;       // that both have scores of
  int64_t unpaired = 0;      // that only one has
  double a = 0, b = 0;       // mean accuracy over the common prompts (each prompt counts once)
  double difference = 0;     // b - a
  stats::Interval interval;  // of the difference: seeded paired bootstrap over prompts
  double p_value = 1;
  std::string test;  // "mcnemar" (one sample each, exact), "permutation" (several)
  int64_t both = 0, only_a = 0, only_b = 0,
          neither = 0;  // prompts by majority answer; by the sample where there is one
  bool small = false;
};

// Over all tasks first, then by task where there is more than one.
std::vector<Comparison> compare(const std::vector<Score>& a, const std::vector<Score>& b, uint64_t seed = 0);
Json encode(const Comparison& comparison);
std::string table(const std::vector<Comparison>& comparisons);

}  // namespace retort::eval
