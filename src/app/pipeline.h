// Pipeline: runs a recipe's steps in order, each only where its stamp no longer fits, and says what it does.
// One pipeline at a time works in a run folder, and only in folders that retort made (base/folder.h). Killed at any
// moment, the same command goes on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/recipe.h"
#include "app/stamp.h"
#include "app/step.h"
#include "base/cancel.h"
#include "base/env.h"
#include "base/folder.h"
#include "base/result.h"

namespace retort::app {

struct StepReport {
  std::string id, kind;
  bool ran = false;                  // false: its stamp fitted
  std::vector<std::string> reasons;  // why it ran, or would
  double seconds = 0;                // of the run that made its output
  std::string output_hash;           // "" in a dry run for a step that would run
  Forecast forecast;                 // dry run only
};

struct PipelineOptions {
  std::string out;            // run folder
  bool dry_run = false;       // forecast instead of run
  bool explain = false;       // print each step's reasons
  Folder* hand_on = nullptr;  // gets the run's folder, still held, for what its caller writes there (the report)
};

// Everything that can be known to be wrong before the first step runs: kinds, options and their ranges, files, what
// steps refer to of one another, permission records, prices, keys. Errors: with the recipe's file and the step.
Status check_recipe(const Recipe& recipe, const std::string& out,
                    const std::function<const StepKind*(const std::string&)>& kinds, Env& env);

// `kinds` is a parameter for tests; commands pass find_kind. Errors: the first step's that failed, with its name.
Result<std::vector<StepReport>> run_pipeline(const Recipe& recipe, const PipelineOptions& options,
                                             const std::function<const StepKind*(const std::string&)>& kinds, Env& env,
                                             const Cancel& cancel);

// Paths in `options` whose content `kind` reads, as written: lists taken apart, empty ones left out.
std::vector<std::string> path_values(const StepKind& kind, const Json& options);

}  // namespace retort::app
