// Judging a whole reply against a reference by the rule `auto`: extraction (answer.h), comparison (equal.h) and, where
// the reply boxes or announces nothing, what it states (stated.h). Other rules: rule.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "verify/answer.h"
#include "verify/equal.h"

namespace retort::verify {

struct Judgement {
  bool equal = false;
  std::string how;               // Verdict::how, or "no_answer"; of other rules what rule.h says
  std::optional<Answer> answer;  // what was extracted from the reply
  std::string problem;           // why no verdict could be reached (a checker that failed); "" as a rule
};

// `gold` is a reference answer, or a worked solution whose final answer is extracted. A reply of one short line is also
// compared as a whole ("1 000", "3 dozen eggs").
Judgement judge(std::string_view gold, std::string_view reply);

// The reference itself, or the final answer of a worked solution.
std::string reference_of(std::string_view gold);

}  // namespace retort::verify
