// Collecting from files to a folder: what `retort collect` and a recipe's collect step both do. The teacher is an API,
// a model that is served here for the time of the run, or the procedural one; each is asked over HTTP.
#pragma once

#include <string>

#include "app/teacher.h"
#include "base/cancel.h"
#include "base/env.h"
#include "base/secret.h"
#include "collect/collect.h"
#include "collect/import.h"

namespace retort::app {

struct CollectJob {
  collect::Options options;
  std::string prompts;                // JSONL (.zst) or Parquet
  std::string import;                 // published reasoning in place of prompts and a teacher
  std::string format = "auto", task;  // of the import
  std::string permission;             // YAML
  std::string prices;                 // YAML
  std::string serve;        // a model path: served on a free port, options.endpoint and options.model are filled in
  bool procedural = false;  // the procedural teacher on a free port, likewise
  TeacherOptions teacher;   // of the procedural one
  Secret key;
  std::string ca_file;
  bool stream = true, max_completion_tokens = false;
  std::string out;                // folder; gets traces.jsonl, rejects.jsonl and tally.json at the end
  std::string work;               // folder of the store and of the teacher's log
  std::string costs;              // cost book
  std::string stage = "collect";  // name in the cost book
  Cancel cancel;
};

// Errors: collect::run's and those of the files; spending is booked whatever the end. Where the run ended early with
// something bought, the files hold that, and tally.json says `incomplete`.
Result<Tally> collect_files(CollectJob job, Env& env);

}  // namespace retort::app
