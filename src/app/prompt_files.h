// Prompts from a seed or from files to a folder: what `retort problems`, `retort split` and the steps of the same names
// do. The folder gets train.jsonl and test.jsonl.
#pragma once

#include <string>
#include <vector>

#include "app/job.h"
#include "app/split_prompts.h"
#include "base/env.h"
#include "tasks/generate.h"

namespace retort::app {

struct ProblemsJob {
  tasks::Options options;

  template <class V>
  void fields(V&& v) {
    options.fields(v);
  }
  Status check(Env& env) const;
};

struct SplitJob {
  std::vector<std::string> from;
  SplitOptions options;

  template <class V>
  void fields(V&& v) {
    v("from", from, "files of prompts: JSON Lines (.zst too) or Parquet", {.path = true, .required = true});
    options.fields(v);
  }
  Status check(Env& env) const;
};

struct Sides {
  int64_t train = 0, test = 0;  // prompts written
};

Result<Sides> problems_files(const ProblemsJob& job, const JobPlace& place, Env& env);
// Errors: split_prompts', and those of the files.
Result<Sides> split_files(const SplitJob& job, const JobPlace& place, Env& env);

}  // namespace retort::app
