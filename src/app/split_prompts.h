// Splitting a data set that comes in one piece: a share to ask and learn from, the rest kept for measuring. Problems
// that are one another's variants (the same story with other numbers or another question) stay on one side, or the
// measurement would see what was learned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "record/prompt.h"

namespace retort::app {

struct SplitOptions {
  double train_share = 0.5;
  int64_t test = 0;
  int shared_words = 8;
  uint64_t seed = 1;
  std::string task;

  template <class V>
  void fields(V&& v) {
    v("train_share", train_share, "share of the prompts that train.jsonl gets; at most, as variants stay together",
      {.low = 0, .high = 1});
    v("test", test, "prompts that test.jsonl gets at most; 0: all that train.jsonl does not get", {.low = 0});
    v("shared_words", shared_words,
      "words in a row, numbers counting as equal, that make two prompts variants of one; 0: only equal questions",
      {.low = 0, .high = 1000});
    v("seed", seed, "of the order");
    v("task", task, "the task's name of all prompts; default: their own, or else their file's name");
  }
};

struct PromptSplit {
  size_t largest = 0;               // prompts of the largest group of variants
  std::vector<Prompt> train, test;  // each in an order drawn from the seed, so a first part of it is a fair sample
};

// A pure function of its arguments. Errors: Invalid for options out of range, an id that comes twice, no prompts, and a
// training side that was asked for and stays empty, with what to change.
Result<PromptSplit> split_prompts(const SplitOptions& options, std::vector<Prompt> prompts);

}  // namespace retort::app
