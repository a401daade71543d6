// Evaluation from task files to a folder: what `retort eval` and a recipe's eval step both do.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/answerer.h"
#include "app/job.h"
#include "base/env.h"
#include "eval/eval.h"
#include "eval/summary.h"

namespace retort::app {

inline constexpr const char* kEvalMark = "eval";  // who made the folder, in its mark (base/folder.h)

struct EvalJob {
  std::vector<std::string> tasks;
  Answerer answerer;
  std::string against;
  eval::Options options;

  template <class V>
  void fields(V&& v) {
    v("tasks", tasks, "prompts with answers: JSON Lines (.zst too); a prompt without a task gets its file's name",
      {.path = true, .required = true});
    answerer.fields(v);
    v("against", against, "a second model (A of the comparison; `model` is B)", {.path = true, .or_name = "endpoint"});
    options.fields(v);
  }
  Status check(Env& env) const;
};

struct Evaluated {
  eval::Summary model;
  std::optional<eval::Summary> against;
  std::vector<eval::Comparison> comparison;  // of `against` with `model`, where there are both
  double flops = 0;                          // of models here
};

// Errors: eval::run's, and those of the files. After an interruption the same job goes on where it stopped. The folder
// `place.out` gets scores.jsonl, rejects.jsonl, tally.json and summary.json, and with `against` comparison.json and the
// same files of that model below against/. `name`: the model's in the scores; "": of its file, or at its API.
Result<Evaluated> eval_files(const EvalJob& job, const JobPlace& place, const std::string& name, Env& env);

// The name of a task whose prompts give none: "svamp" of "data/svamp.jsonl.zst".
std::string task_of_file(const std::string& path);

Result<std::vector<Score>> read_scores(const std::string& path);

// SHA-256 over the files that decide what a local model answers: weights, configuration, tokenizer and template.
Result<std::string> weights_identity(const std::string& model, Env& env);

}  // namespace retort::app
