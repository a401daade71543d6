// Curation from files to a folder: what `retort curate` and a recipe's curate step both do.
#pragma once

#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "curate/curate.h"

namespace retort::app {

struct CurateJob {
  curate::Options options;
  std::vector<std::string> traces;   // JSONL (.zst) of Trace
  std::vector<std::string> exclude;  // JSONL of prompts that must not be learned from
  std::string out;  // folder; gets examples.jsonl, rejects.jsonl, tally.json, data_card.json, data_card.md
  model::Generator* grader = nullptr;
  Cancel cancel;
};

// Errors: curate::run's, and those of the files. Nothing appears under its final name unless the run ends well.
Result<Tally> curate_files(const CurateJob& job, Env& env);

}  // namespace retort::app
