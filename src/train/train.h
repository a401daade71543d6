// Supervised fine-tuning as a stage: examples in, a Hugging Face directory out; stopped at any moment it goes on from
// its last checkpoint to the same bytes. Non-goals: gradients (train/torch through backend.h), preference and RL
// objectives.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "base/folder.h"
#include "base/result.h"
#include "record/example.h"
#include "record/stream.h"
#include "train/checkpoint.h"
#include "train/data.h"
#include "train/options.h"

namespace retort::train {

struct Task {
  std::string base;       // the model to start from; "": from scratch
  std::string tokenizer;  // from scratch: whose tokenizer to use; "": one learned from the examples
  std::string out;        // the directory to write; <out>.training holds checkpoints and the log until it is there
  bool replace = false;   // an existing `out` may be replaced, where retort wrote it
  std::vector<std::pair<std::string, std::string>> extra_files;  // name, bytes: put beside the weights
};

struct Report {
  int64_t steps = 0, parameters = 0, trained_parameters = 0;
  int64_t tokens = 0;                    // passed through the model (prompts included)
  int64_t target_tokens = 0;             // of them in the loss
  double flops = 0;                      // of the steps that count
  double seconds = 0;                    // of the steps that count, over all starts
  double first_loss = 0, last_loss = 0;  // last: mean over the last tenth of the steps, weighted by tokens
  DataSummary data;
  int64_t resumed_from = 0;  // step, 0 where this run began anew
  std::vector<Threads> threads;
  // Work that an interruption threw away: done after the last checkpoint.
  int64_t lost_steps = 0;
  int64_t lost_tokens = 0;
  double lost_flops = 0, lost_seconds = 0;
  std::vector<LogRow> log;
};
// Without the log.
Json encode(const Report& report);

struct Snapshot {
  LogRow row;                                      // of the step just done
  int64_t steps = 0, tokens_done = 0, tokens = 0;  // of the whole run
  double tokens_per_second = 0;                    // since this start
};

// The directory also gets train_log.jsonl and train_report.json; with LoRA, adapter/ in PEFT's form. Errors: Invalid
// (options, examples), those of loading and writing, Limit (memory), Cancelled (after a checkpoint; the same call goes
// on). `watch` (may be empty) is called after each step.
Result<Report> run(const Options& options, const Task& task, Source<Example>& examples,
                   const std::function<void(const Snapshot&)>& watch, Env& env, const Cancel& cancel);

// <out>.training, held: run() holds it too. Errors: Folder::hold's.
Result<Folder> hold_workspace(const Task& task, Env& env);

// Invalid, naming the option and its value, where an option is out of range.
Status check(const Options& options);

}  // namespace retort::train
