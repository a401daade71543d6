// Procedural problems from a seed. Training and test problems are disjoint by construction: a hash of the commuted
// steps (and, for word problems, of nothing else: neither names nor things make a problem new) decides the side.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "record/prompt.h"
#include "tasks/steps.h"

namespace retort::tasks {

struct Options {
  uint64_t seed = 1;
  int train = 8000;
  int test = 1000;
  std::vector<std::string> kinds = {"addition", "subtraction", "multiplication", "word"};
  int max_digits = 4;
  double negative = 0.0;
  double without_answer = 0.0;
  double test_share = 0.1;

  template <class V>
  void fields(V&& v) {
    v("seed", seed, "of all draws");
    v("train", train, "training problems, spread evenly over the kinds", {.low = 0});
    v("test", test, "test problems, spread evenly over the kinds", {.low = 0});
    v("kinds", kinds, "addition, subtraction, multiplication, word",
      {.one_of = "addition, subtraction, multiplication, word"});
    v("max_digits", max_digits,
      "digits of an operand in arithmetic (word problems: one less, {.low = 1, .high = 5}); each length is equally "
      "likely");
    v("negative", negative, "share of subtractions whose result is below zero", {.low = 0, .high = 1});
    v("without_answer", without_answer, "share of training problems that come without their reference answer",
      {.low = 0, .high = 1});
    v("test_share", test_share, "share of all possible problems that may only be test problems", {.low = 0, .high = 1});
  }
};

struct Problem {
  std::string kind;
  std::string question;
  std::vector<Step> steps;
  int64_t answer = 0;
};

struct ProblemSet {
  std::vector<Problem> train, test;
};

// Pure function of the options. Errors: Invalid for an unknown kind or a range that holds too few problems.
Result<ProblemSet> generate(const Options& options);

// The problem behind a question, where it is one of ours.
std::optional<Problem> solve(std::string_view question);

// A Prompt with one user message; ids count from 0 within `set` ("train", "test").
Prompt to_prompt(const Problem& problem, const std::string& set, int number, bool with_answer);

}  // namespace retort::tasks
