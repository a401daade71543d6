// Step kinds: what a recipe's `do` may say. Each wraps one stage as a function of options and files, so the pipeline
// can stamp it: same kind and version, same options, same input bytes give the same output bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "app/step_clock.h"
#include "base/cancel.h"
#include "base/env.h"
#include "base/json.h"
#include "base/money.h"
#include "base/options.h"
#include "base/result.h"
#include "ledger/cost_book.h"

namespace retort::app {

struct SampleText {
  std::string question;
  std::string answer;  // thought and content; "" where it does not exist yet
};

struct ExpectedModel {
  double parameters = 0;     // that take part in a product for each token
  int width = 0, ffn = 0;    // of its products
  bool integer = false;      // weights are stored as integers
  double flops = 0;          // that its training takes
  double answer_tokens = 0;  // mean of what it learns to write; 0 where nobody knows
  std::string text_from;     // whose tokenizer it reads with; "" where there is none yet
};

// What is known of a file or a model: read where it exists, else as the step that will write it expects.
struct Expected {
  double records = 0;              // of a file of records
  double prompts = 0;              // different questions among them
  std::vector<SampleText> sample;  // some of them
  ExpectedModel model;
};

// What a step is expected to need; sums over steps are what --dry-run prints. `low` and `high` bound the seconds of
// work of models, which hangs on what else the machine does and on lengths that nobody knows yet; else they are 0.
struct Forecast {
  double seconds = 0;
  int64_t tokens = 0;                            // made by a model or trained on
  UsdMicros usd_micros = 0;                      // paid to an API
  std::string basis;                             // how it was reckoned, for the reader
  std::map<std::string, Expected> outputs = {};  // by path below the step's folder; "" is the folder itself
  double low = 0, high = 0;
};

struct StepContext {
  Env& env;
  Cancel cancel;
  std::string run_folder;  // the run's folder: the cost book and the provenance book lie there
  std::string id;          // the step's name in the recipe
  std::string out;         // the step's folder; what lies in it is the step's output ...
  std::string work;  // ... except this folder below it: stores, checkpoints, logs: kept for resuming, never stamped
  Json options;      // paths resolved
  std::map<std::string, Expected> expected = {};  // dry run only: what earlier steps will write, by path
  const StepClock* clock = nullptr;  // not in a dry run: times the step and names its work in the cost book
};

struct StepKind {
  const char* name;
  int version;                       // raised whenever equal inputs would give other output bytes
  std::vector<OptionField> options;  // what a recipe may say, as the verb's flags
  // What can be known to be wrong before the first step runs; options with paths resolved, of files that may not be
  // there yet.
  Status (*check)(const Json& options, Env& env);
  Result<Forecast> (*forecast)(const StepContext& context);
  // Writes the step's output. May be called again after a crash with whatever the last try left in out and work.
  Status (*run)(StepContext& context);
  // Names (their beginnings) in the work folder that outlive a change of options or inputs: what was paid for.
  std::vector<std::string> keep = {};
  // Files and folders of the output that a later step may refer to, below the step's folder.
  std::vector<std::string> outputs = {};
  // Who books what a step used: the pipeline its time, or run() itself.
  bool books = false;
  // Tokens and FLOPs that an unfinished step has used, from its work folder, where no store knows them.
  Status (*used)(const std::string& work, ledger::CostRow& row, Env& env) = nullptr;
  // Folders in the work folder that a change of options or inputs renames to NAME.before-N: unfinished work of hours.
  std::vector<std::string> set_aside = {};
};

// All kinds; nullptr where `name` is none of them.
const std::vector<StepKind>& step_kinds();
const StepKind* find_kind(const std::string& name);

}  // namespace retort::app
