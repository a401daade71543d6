// Step kinds: what a recipe's `do` may say. Each wraps one stage as a function of options and files, so the pipeline
// can stamp it: same kind and version, same options, same input bytes give the same output bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "base/json.h"
#include "base/money.h"
#include "base/result.h"

namespace retort::app {

// What is known of a file or a model: counted where it exists, else as the step that will write it expects.
struct Expected {
  double records = 0;     // of a file of records
  double bytes = 0;       // of their text
  double parameters = 0;  // of a model
  double flops = 0;       // that its training takes
};

// What a step is expected to need; sums over steps are what --dry-run prints.
struct Forecast {
  double seconds = 0;
  int64_t tokens = 0;                            // made by a model or trained on
  UsdMicros usd_micros = 0;                      // paid to an API
  std::string basis;                             // how it was reckoned, for the reader
  std::map<std::string, Expected> outputs = {};  // by path below the step's folder; "" is the folder itself
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
};

struct StepKind {
  const char* name;
  int version;                     // raised whenever equal inputs would give other output bytes
  std::vector<std::string> paths;  // options (dotted) whose values name files or folders to read
  Status (*check)(const Json& options);
  Result<Forecast> (*forecast)(const StepContext& context);
  // Writes the step's output. May be called again after a crash with whatever the last try left in out and work.
  Status (*run)(StepContext& context);
  // Names (their beginnings) in the work folder that outlive a change of options or inputs: what was paid for.
  std::vector<std::string> keep = {};
};

// All kinds; nullptr where `name` is none of them.
const std::vector<StepKind>& step_kinds();
const StepKind* find_kind(const std::string& name);

}  // namespace retort::app
