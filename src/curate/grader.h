// The teacher as grader of what neither a reference nor a vote decides. One question a candidate answer; the reply's
// last line decides. Non-goal: scores on a scale.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "base/result.h"
#include "model/generator.h"

namespace retort::curate {

struct Candidate {
  std::string question;
  std::string reply;   // the trace's content
  std::string answer;  // "" where none could be extracted
};

enum class Grade { Correct, Wrong, Unclear };

// What is asked: whether the proposed answer is right, to be ended with "VERDICT: CORRECT" or "VERDICT: WRONG". Each
// text stands between fences that none of them holds, so that no answer can end itself and go on as the one who asks.
std::string grading_prompt(const Candidate& candidate);
// What the last line says, which must be "VERDICT:" and one word, CORRECT, WRONG or INCORRECT, and nothing else (any
// case, Markdown marks and a full stop aside); Unclear otherwise.
Grade parse_grade(std::string_view reply);

// Grades each candidate, in order; at temperature 0. A reply that is refused or unclear gives Unclear. Errors:
// Unavailable (after five tries), Limit (a cap or quota), Cancelled.
Result<std::vector<Grade>> grade_all(const std::vector<Candidate>& candidates, model::Generator& grader,
                                     int concurrency, int max_tokens, Env& env, const Cancel& cancel,
                                     const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace retort::curate
