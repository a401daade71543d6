#include "infer/scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "infer/sampler.h"
#include "kernels/isa.h"

namespace retort::infer {

double logprob_of(std::span<const float> logits, int32_t id) {
  const double total = kernels::isa().log_sum_exp(logits.data(), static_cast<int>(logits.size()), 1.0f);
  return static_cast<double>(logits[static_cast<size_t>(id)]) - total;
}

std::vector<TokenScore> top_logprobs(std::span<const float> logits, int k) {
  std::vector<TokenScore> out;
  if (k <= 0) return out;
  const double total = kernels::isa().log_sum_exp(logits.data(), static_cast<int>(logits.size()), 1.0f);
  for (const int32_t id : largest(logits, static_cast<size_t>(k)))
    out.push_back({id, static_cast<double>(logits[static_cast<size_t>(id)]) - total});
  return out;
}

Error no_number(std::string_view model) {
  return fail(Code::Corrupt,
              "`{}` gives logits that are NaN or infinite: its activations overflow; the weights do not fit their "
              "config, or the training that wrote them had diverged",
              model);
}

struct Scorer::State {
  std::shared_ptr<const Network> network;
  KvCache cache;
  Workspace workspace;
  int length = 0;
};

Scorer::Scorer(std::shared_ptr<const Network> network) {
  KvCache cache = network->make_cache();
  state_ = std::make_unique<State>(State{std::move(network), std::move(cache), {}, 0});
}
Scorer::~Scorer() = default;

void Scorer::reset() {
  state_->length = 0;
  state_->cache.truncate(0);
}

int Scorer::length() const { return state_->length; }

Result<std::span<const float>> Scorer::feed(std::span<const int32_t> ids) {
  State& s = *state_;
  const int count = static_cast<int>(ids.size());
  if (count == 0) return std::span<const float>();
  if (count > s.network->max_context() - s.length)
    return fail(Code::Limit, "{} tokens do not fit the context, which holds {}; score shorter pieces", s.length + count,
                s.network->max_context());
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) {
    const int32_t id = ids[static_cast<size_t>(i)];
    if (id < 0 || id >= s.network->vocabulary())
      return fail(Code::Invalid, "token id {} at place {} is outside the vocabulary of {}", id, s.length + i,
                  s.network->vocabulary());
    rows.push_back({&s.cache, id, s.length + i, true});
  }
  RETORT_TRY(s.cache.prepare(s.length, count));
  s.length += count;
  const auto logits = s.network->forward(rows, s.workspace);
  RETORT_TRY(s.network->weights().whole());  // embeddings are read from the file
  return logits;
}

Result<std::vector<Score>> score(std::shared_ptr<const Network> network, std::span<const int32_t> ids, int top_k,
                                 const Cancel& cancel, int chunk) {
  Scorer scorer(network);
  const auto vocabulary = static_cast<size_t>(network->vocabulary());
  std::vector<Score> scores(ids.size());
  if (ids.empty()) return scores;
  if (static_cast<int64_t>(ids.size()) > network->max_context())
    return fail(Code::Limit, "{} tokens do not fit the context, which holds {}; score shorter pieces", ids.size(),
                network->max_context());
  scores[0] = {ids[0], std::numeric_limits<double>::quiet_NaN(), {}};
  for (size_t start = 0; start < ids.size(); start += static_cast<size_t>(chunk)) {
    if (cancel.requested())
      return fail(Code::Cancelled, "scoring was stopped after {} of {} tokens", start, ids.size());
    const auto piece = ids.subspan(start, std::min(static_cast<size_t>(chunk), ids.size() - start));
    RETORT_ASSIGN(const auto logits, scorer.feed(piece));
    const size_t useful = std::min(piece.size(), ids.size() - 1 - start);
    network->pool().run(static_cast<int>(useful), [&](int i) {
      const auto row = logits.subspan(static_cast<size_t>(i) * vocabulary, vocabulary);
      Score& out = scores[start + static_cast<size_t>(i) + 1];
      out.id = ids[start + static_cast<size_t>(i) + 1];
      out.logprob = logprob_of(row, out.id);
      out.top = top_logprobs(row, top_k);
    });
    for (size_t i = start + 1; i <= start + useful; ++i) {
      if (!std::isfinite(scores[i].logprob)) return no_number(network->weights().name);
    }
  }
  return scores;
}

}  // namespace retort::infer
