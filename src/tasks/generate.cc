#include "tasks/generate.h"

#include <algorithm>
#include <unordered_set>

#include "base/hash.h"
#include "base/random.h"
#include "tasks/templates.h"

namespace retort::tasks {
namespace {

// Draws without a new problem after which a range counts as used up.
constexpr int kMostInVain = 20'000;

// A number of 1 .. max_digits digits, each length equally likely.
int64_t draw_number(Random& random, int max_digits) {
  const int64_t length = random.between(1, max_digits);
  int64_t low = 1;
  for (int64_t i = 1; i < length; ++i) low *= 10;
  return random.between(length == 1 ? 0 : low, low * 10 - 1);
}

std::vector<const Template*> templates_of(const std::string& kind) {
  std::vector<const Template*> found;
  for (const Template& form : templates()) {
    if (form.kind == kind) found.push_back(&form);
  }
  return found;
}

// One draw; nullopt where it must be drawn again (a word problem that dips below zero).
std::optional<Problem> draw(const Options& options, const std::vector<const Template*>& forms, Random& random) {
  const Template& form = *forms[random.below(forms.size())];
  const std::string kind = form.kind;
  Slots slots;
  if (kind == "word") {
    const int digits = std::max(1, options.max_digits - 1);
    for (const char slot : {'a', 'b', 'c'})
      slots[slot] = std::to_string(std::max<int64_t>(1, draw_number(random, digits)));
    slots['d'] = std::to_string(random.between(2, 9));
    const size_t n = random.below(people().size());
    slots['n'] = people()[n];
    slots['m'] = people()[(n + 1 + random.below(people().size() - 1)) % people().size()];
    slots['o'] = things()[random.below(things().size())];
  } else {
    int64_t a = draw_number(random, options.max_digits), b = draw_number(random, options.max_digits);
    if (kind == "subtraction" && (a < b) != (random.uniform() < options.negative)) std::swap(a, b);
    if (kind == "multiplication") {
      b = random.between(0, 9);
      if (random.uniform() < 0.5) std::swap(a, b);
    }
    slots['a'] = std::to_string(a);
    slots['b'] = std::to_string(b);
  }
  Problem problem{kind, fill(form, slots), steps_of(form, slots), 0};
  if (kind == "word") {
    for (size_t count = 1; count <= problem.steps.size(); ++count) {
      if (evaluate({problem.steps.begin(), problem.steps.begin() + static_cast<std::ptrdiff_t>(count)}) < 0)
        return std::nullopt;
    }
  }
  problem.answer = evaluate(problem.steps);
  return problem;
}

bool belongs_to_test(const Problem& problem, double share) {
  const uint64_t hash = philox({0, 0, 0, 0}, fnv1a(commuted_key(problem.steps)))[0];
  return static_cast<double>(hash) < share * 0x1.0p32;
}

}  // namespace

Result<ProblemSet> generate(const Options& options) {
  if (options.kinds.empty()) return fail(Code::Invalid, "`kinds` is empty; name at least one kind of problem");
  RETORT_TRY(check_options(options));
  ProblemSet set;
  const auto make = [&](bool test, int count, std::vector<Problem>& out) -> Status {
    for (size_t k = 0; k < options.kinds.size(); ++k) {
      const std::string& kind = options.kinds[k];
      const auto forms = templates_of(kind);
      if (forms.empty())
        return fail(Code::Invalid, "`kinds` names `{}`; there are addition, subtraction, multiplication and word",
                    kind);
      const int kinds = static_cast<int>(options.kinds.size());
      const int wanted = count / kinds + (static_cast<int>(k) < count % kinds ? 1 : 0);
      Random random(options.seed, (test ? 1u : 0u) + 2 * fnv1a(kind));
      std::unordered_set<std::string> seen;
      int made = 0;
      for (int in_vain = 0; made < wanted && in_vain < kMostInVain; ++in_vain) {
        auto problem = draw(options, forms, random);
        if (!problem || belongs_to_test(*problem, options.test_share) != test) continue;
        if (!seen.insert(problem->question).second) continue;
        out.push_back(std::move(*problem));
        ++made;
        in_vain = 0;
      }
      if (made < wanted) {
        return fail(Code::Invalid,
                    "only {} different {} problems of kind {} could be drawn, {} were asked for; raise `max_digits` or "
                    "lower `{}`",
                    made, test ? "test" : "training", kind, wanted, test ? "test" : "train");
      }
    }
    Random order(options.seed, test ? 11 : 10);
    shuffle(out, order);
    return {};
  };
  RETORT_TRY(make(false, options.train, set.train));
  RETORT_TRY(make(true, options.test, set.test));
  return set;
}

std::optional<Problem> solve(std::string_view question) {
  const auto found = recognise(question);
  if (!found) return std::nullopt;
  Problem problem{found->form->kind, std::string(question), steps_of(*found->form, found->slots), 0};
  problem.answer = evaluate(problem.steps);
  return problem;
}

Prompt to_prompt(const Problem& problem, const std::string& set, int number, bool with_answer) {
  Prompt prompt;
  prompt.id = fmt::format("{}-{:06}", set, number);
  prompt.messages.push_back({"user", problem.question, "", nullptr});
  if (with_answer) prompt.answer = std::to_string(problem.answer);
  prompt.task = problem.kind;
  return prompt;
}

}  // namespace retort::tasks
