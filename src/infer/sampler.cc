#include "infer/sampler.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "kernels/isa.h"

namespace retort::infer {
namespace {

// Candidates that top_p looks at first; few distributions need more.
constexpr size_t kFirstCandidates = 256;
// exp(x * kMostFactor) is 0 or 1 for any difference of two floats that a model makes, and the product stays a number.
constexpr double kMostFactor = 1e30;

double total_of(const std::vector<float>& weights, std::span<const int32_t> ids) {
  return std::accumulate(ids.begin(), ids.end(), 0.0, [&](double sum, int32_t id) {
    return sum + static_cast<double>(weights[static_cast<size_t>(id)]);
  });
}

// Cuts `ids`, which are in falling order of weight, after those whose weights reach `wanted`. False where they do not.
bool cut_at(const std::vector<float>& weights, double wanted, std::vector<int32_t>& ids) {
  double sum = 0;
  for (size_t kept = 0; kept < ids.size(); ++kept) {
    sum += static_cast<double>(weights[static_cast<size_t>(ids[kept])]);
    if (sum >= wanted) {
      ids.resize(kept + 1);
      return true;
    }
  }
  return false;
}

// One of `count` candidates by their weights; `id_at(i)` and `weight_at(i)` give them.
template <class IdAt, class WeightAt>
int32_t draw(double left, size_t count, IdAt id_at, WeightAt weight_at) {
  for (size_t i = 0; i < count; ++i) {
    left -= static_cast<double>(weight_at(i));
    if (left < 0) return id_at(i);
  }
  // Rounding left a crumb: the last that had any weight.
  for (size_t i = count; i-- > 0;)
    if (weight_at(i) > 0) return id_at(i);
  return id_at(0);
}

}  // namespace

std::vector<int32_t> largest(std::span<const float> values, size_t k) {
  k = std::min(k, values.size());
  std::vector<int32_t> ids;
  if (k == 0) return ids;
  const auto before = [&](int32_t a, int32_t b) {
    const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  // A heap of the k best so far, the worst of them on top: most values fail against it at once.
  ids.reserve(k + 1);
  for (size_t i = 0; i < values.size(); ++i) {
    if (ids.size() == k && !(values[i] > values[static_cast<size_t>(ids.front())])) continue;
    ids.push_back(static_cast<int32_t>(i));
    std::push_heap(ids.begin(), ids.end(), before);
    if (ids.size() <= k) continue;
    std::pop_heap(ids.begin(), ids.end(), before);
    ids.pop_back();
  }
  std::sort_heap(ids.begin(), ids.end(), before);
  return ids;
}

Status check_sampling(const model::Sampling& s) {
  if (!(s.temperature >= 0 && s.temperature <= 100))
    return fail(Code::Invalid, "temperature {} is outside 0 to 100", s.temperature);
  if (!(s.top_p > 0 && s.top_p <= 1)) return fail(Code::Invalid, "top_p {} is outside (0, 1]", s.top_p);
  if (s.top_k < 0) return fail(Code::Invalid, "top_k {} is negative; 0 turns it off", s.top_k);
  if (s.max_tokens < 0) return fail(Code::Invalid, "max_tokens {} is negative", s.max_tokens);
  for (const std::string& stop : s.stop)
    if (stop.empty()) return fail(Code::Invalid, "an empty stop string would end every text; leave it out");
  return {};
}

int32_t sample(std::span<const float> logits, const model::Sampling& sampling, uint64_t seed, int choice,
               int position) {
  const auto top = std::max_element(logits.begin(), logits.end());  // the first of equals
  if (sampling.temperature == 0 || sampling.top_k == 1) return static_cast<int32_t>(top - logits.begin());
  const auto factor = static_cast<float>(std::min(1.0 / sampling.temperature, kMostFactor));
  std::vector<float> weights(logits.begin(), logits.end());
  for (float& w : weights) w -= *top;  // before the factor, which may be large
  kernels::isa().softmax(weights.data(), static_cast<int>(weights.size()), factor);

  Random random(seed, static_cast<uint64_t>(choice));
  random.seek(static_cast<uint64_t>(position));
  const double share = random.uniform();
  const size_t k = sampling.top_k > 0 ? std::min(weights.size(), static_cast<size_t>(sampling.top_k)) : weights.size();
  if (k == weights.size() && sampling.top_p >= 1) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    return draw(
        share * total, weights.size(), [](size_t i) { return static_cast<int32_t>(i); },
        [&](size_t i) { return weights[i]; });
  }
  std::vector<int32_t> ids;
  if (k < weights.size()) {
    ids = largest(weights, k);
    if (sampling.top_p < 1) cut_at(weights, sampling.top_p * total_of(weights, ids), ids);
  } else {
    const double wanted = sampling.top_p * std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t count = kFirstCandidates;; count *= 8) {
      ids = largest(weights, count);
      if (cut_at(weights, wanted, ids) || ids.size() == weights.size()) break;
    }
  }
  return draw(
      share * total_of(weights, ids), ids.size(), [&](size_t i) { return ids[i]; },
      [&](size_t i) { return weights[static_cast<size_t>(ids[i])]; });
}

}  // namespace retort::infer
