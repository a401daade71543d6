// Evaluation from task files to a folder: what `retort eval` and a recipe's eval step both do.
#pragma once

#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "eval/eval.h"
#include "eval/summary.h"

namespace retort::app {

struct EvalJob {
  eval::Options options;
  std::vector<std::string> tasks;  // JSONL of prompts with answers; a prompt without a task gets its file's name
  std::string out;                 // folder; gets scores.jsonl, rejects.jsonl, tally.json, summary.json
  std::string partial;             // where unfinished scores lie; "": out/scores.partial.jsonl. Removed at the end
  std::string identity;            // eval::Context::identity
  Cancel cancel;
};

// Errors: eval::run's, and those of the files. After an interruption the same job goes on where it stopped.
Result<eval::Summary> eval_files(const EvalJob& job, model::Generator& generator, Env& env);

// The name of a task whose prompts give none: "svamp" of "data/svamp.jsonl.zst".
std::string task_of_file(const std::string& path);

Result<std::vector<Score>> read_scores(const std::string& path);

// SHA-256 over the files that decide what a local model answers: weights, configuration, tokenizer and template.
Result<std::string> weights_identity(const std::string& model, Env& env);

}  // namespace retort::app
