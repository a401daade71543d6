// Judging a whole reply against a reference: extraction (answer.h) and comparison (equal.h) in one step, for eval,
// curate and `retort verify` alike.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "verify/answer.h"
#include "verify/equal.h"

namespace retort::verify {

struct Judgement {
  bool equal = false;
  std::string how;               // Verdict::how, or "no_answer"
  std::optional<Answer> answer;  // what was extracted from the reply
};

// `gold` is a reference answer, or a worked solution whose final answer is extracted. A reply of one short line is also
// compared as a whole ("1 000", "3 dozen eggs").
Judgement judge(std::string_view gold, std::string_view reply);

}  // namespace retort::verify
