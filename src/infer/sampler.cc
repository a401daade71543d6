#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/random.h"

namespace retort::infer {
namespace {

// Candidates that top_p sorts first; few distributions need more.
constexpr size_t kFirstCandidates = 256;

struct Candidate {
  double weight;
  int32_t id;
};

bool likelier(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

double total_of(const std::vector<Candidate>& candidates) {
  return std::accumulate(candidates.begin(), candidates.end(), 0.0,
                         [](double sum, const Candidate& c) { return sum + c.weight; });
}

// Leaves the smallest set of likeliest candidates whose weights reach `share` of their total, in falling order.
void keep_share(std::vector<Candidate>& candidates, double share) {
  const double wanted = share * total_of(candidates);
  double sum = 0;
  size_t sorted = 0, kept = 0;
  for (size_t end = std::min(kFirstCandidates, candidates.size()); kept < candidates.size();
       end = std::min(end * 8, candidates.size())) {
    std::partial_sort(candidates.begin() + static_cast<std::ptrdiff_t>(sorted),
                      candidates.begin() + static_cast<std::ptrdiff_t>(end), candidates.end(), likelier);
    sorted = end;
    while (kept < end) {
      sum += candidates[kept++].weight;
      if (sum >= wanted) {
        candidates.resize(kept);
        return;
      }
    }
  }
}

}  // namespace

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
  const double largest = static_cast<double>(*top),
               factor = std::min(1.0 / sampling.temperature, std::numeric_limits<double>::max());
  std::vector<Candidate> candidates(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    candidates[i] = {std::exp((static_cast<double>(logits[i]) - largest) * factor), static_cast<int32_t>(i)};
  const auto k = static_cast<size_t>(sampling.top_k);
  if (k > 0 && k < candidates.size()) {
    std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(k), candidates.end(),
                      likelier);
    candidates.resize(k);
  }
  if (sampling.top_p < 1) keep_share(candidates, sampling.top_p);
  Random random(seed, static_cast<uint64_t>(choice));
  random.seek(static_cast<uint64_t>(position));
  double left = random.uniform() * total_of(candidates);
  for (const Candidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  // Rounding left a crumb: the last that had any weight.
  for (size_t i = candidates.size(); i-- > 0;)
    if (candidates[i].weight > 0) return candidates[i].id;
  return candidates.front().id;
}

}  // namespace retort::infer
