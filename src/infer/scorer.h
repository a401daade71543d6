// Scorer: log-probabilities of given tokens, in memory of chunk x vocabulary. What `retort logprobs`, `perplexity`,
// eval and the API's `echo` are made of. The numbers are those that the engine samples with, bit for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "base/result.h"
#include "infer/network.h"

namespace retort::infer {

struct TokenScore {
  int32_t id = -1;
  double logprob = 0;  // natural logarithm
};

struct Score {
  int32_t id = -1;
  double logprob = 0;           // of `id` given all before it; NaN for the first token
  std::vector<TokenScore> top;  // likeliest first (lowest id among equals); empty for the first token
};

// Log-probability of `id` under logits [vocabulary]: logit minus logsumexp, both in double.
double logprob_of(std::span<const float> logits, int32_t id);
// What to say where a log-probability is no finite number, which finite weights too can lead to.
Error no_number(std::string_view model);
// The `k` likeliest of logits [vocabulary], likeliest first, the lowest id among equals.
std::vector<TokenScore> top_logprobs(std::span<const float> logits, int k);

class Scorer {
 public:
  explicit Scorer(std::shared_ptr<const Network> network);
  ~Scorer();

  // Forgets what was fed.
  void reset();
  // Appends `ids` to the sequence and returns their logits, row major [ids.size()][vocabulary]; row i tells what
  // follows ids[i]. Valid until the next call. Errors: Invalid for an unknown id, Limit past the context,
  // Corrupt where the weights were cut short.
  Result<std::span<const float>> feed(std::span<const int32_t> ids);
  // Tokens fed since reset().
  int length() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Scores of `ids` as one sequence, fed in pieces of at most `chunk` tokens (the result does not depend on it).
// Errors as feed(), and Cancelled.
Result<std::vector<Score>> score(std::shared_ptr<const Network> network, std::span<const int32_t> ids, int top_k,
                                 const Cancel& cancel = {}, int chunk = 64);

}  // namespace retort::infer
