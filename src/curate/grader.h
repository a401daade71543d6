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

// What is asked:
//   "Below are a question and a proposed answer. Work out whether the final answer is right. End with one line:
//   VERDICT: CORRECT or VERDICT: WRONG." then both texts.
std::string grading_prompt(const Candidate& candidate);
// The last "VERDICT: CORRECT|WRONG" (any case, Markdown marks aside); Unclear without one.
Grade parse_grade(std::string_view reply);

// Grades each candidate, in order; at temperature 0. A reply that is refused or unclear gives Unclear. Errors:
// Unavailable (after five tries), Limit (a cap or quota), Cancelled.
Result<std::vector<Grade>> grade_all(const std::vector<Candidate>& candidates, model::Generator& grader,
                                     int concurrency, int max_tokens, Env& env, const Cancel& cancel,
                                     const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace retort::curate
