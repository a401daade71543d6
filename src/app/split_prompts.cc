#include "app/split_prompts.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "curate/held_out.h"
#include "record/questions.h"

namespace retort::app {
namespace {

// Disjoint sets with path halving.
class Groups {
 public:
  explicit Groups(size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), size_t{0}); }
  size_t find(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(size_t a, size_t b) { parent_[find(a)] = find(b); }

 private:
  std::vector<size_t> parent_;
};

std::vector<std::string> words_of(const Prompt& prompt) {
  const std::string text = curate::normalise_question(curate::question_of(prompt.messages));
  std::vector<std::string> words;
  for (const std::string_view word : split(text, ' ')) {
    if (word.empty()) continue;
    const bool number = word.find_first_not_of("0123456789.") == std::string_view::npos;
    words.emplace_back(number ? "#" : std::string(word));
  }
  return words;
}

Groups find_variants(const std::vector<Prompt>& prompts, int shared_words) {
  Groups groups(prompts.size());
  std::unordered_map<std::string, size_t> owner;
  const auto meet = [&](const std::string& key, size_t i) {
    const auto [it, fresh] = owner.emplace(key, i);
    if (!fresh) groups.join(i, it->second);
  };
  for (size_t i = 0; i < prompts.size(); ++i) {
    meet("=" + curate::commute_question(curate::question_of(prompts[i].messages)), i);
    if (shared_words == 0) continue;
    const auto words = words_of(prompts[i]);
    const auto length = static_cast<size_t>(shared_words);
    for (size_t at = 0; at + length <= words.size(); ++at) {
      std::string run;
      for (size_t w = at; w < at + length; ++w) run += words[w] + " ";
      meet(run, i);
    }
  }
  return groups;
}

}  // namespace

Result<PromptSplit> split_prompts(const SplitOptions& options, std::vector<Prompt> prompts) {
  RETORT_TRY(check_options(options));
  if (prompts.empty()) return fail(Code::Invalid, "there is no prompt to split; give `from` files that hold some");
  Questions questions;
  std::vector<Prompt> once;
  for (Prompt& prompt : prompts) {
    RETORT_ASSIGN(const std::string repeats, questions.add(prompt));
    if (repeats.empty()) once.push_back(std::move(prompt));
  }
  if (once.size() < prompts.size())
    log::warn("{} of {} prompts repeat a question and are left out", prompts.size() - once.size(), prompts.size());
  prompts = std::move(once);
  Groups groups = find_variants(prompts, options.shared_words);
  std::unordered_map<size_t, size_t> sizes;
  for (size_t i = 0; i < prompts.size(); ++i) ++sizes[groups.find(i)];

  std::vector<size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(options.seed);
  shuffle(order, random);

  // A group goes to the training side where it still fits as a whole; which group comes first is the order's draw.
  const auto wanted = static_cast<size_t>(options.train_share * static_cast<double>(prompts.size()));
  std::unordered_map<size_t, bool> side;  // group -> is for training
  size_t taken = 0;
  for (const size_t i : order) {
    const size_t group = groups.find(i);
    if (side.contains(group)) continue;
    const bool fits = taken + sizes[group] <= wanted;
    side[group] = fits;
    if (fits) taken += sizes[group];
  }
  PromptSplit out;
  for (const auto& [group, size] : sizes) out.largest = std::max(out.largest, size);
  if (taken == 0 && options.train_share > 0) {
    if (wanted == 0)
      return fail(
          Code::Invalid,
          "a share of {} of {} prompts is less than one, so none would be left to learn from; raise `train_share`",
          options.train_share, prompts.size());
    const std::string who = out.largest == prompts.size()
                                ? fmt::format("all {} prompts", prompts.size())
                                : fmt::format("{} of {} prompts", out.largest, prompts.size());
    const std::string why =
        options.shared_words > 0 ? fmt::format("share {} words in a row", options.shared_words) : "ask the same";
    return fail(
        Code::Invalid,
        "none would be left to learn from: {} {}, count as variants of one and stay together, and `train_share` "
        "leaves room for {}; {}raise `train_share`",
        who, why, wanted,
        options.shared_words > 0 ? "set `shared_words` higher, or to 0 (only equal questions are variants), or " : "");
  }
  for (const size_t i : order) {
    if (!options.task.empty()) prompts[i].task = options.task;
    const bool train = side[groups.find(i)];
    if (!train && options.test > 0 && out.test.size() == static_cast<size_t>(options.test)) continue;
    (train ? out.train : out.test).push_back(std::move(prompts[i]));
  }
  return out;
}

}  // namespace retort::app
