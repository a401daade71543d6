// Curation from files to a folder: what `retort curate` and a recipe's curate step both do.
#pragma once

#include <string>
#include <vector>

#include "app/answerer.h"
#include "app/job.h"
#include "base/env.h"
#include "curate/curate.h"

namespace retort::app {

struct CurateJob {
  std::vector<std::string> traces, exclude;
  curate::Options options;
  Answerer grader;

  CurateJob() { grader.access.key_variable = kGraderKey; }
  template <class V>
  void fields(V&& v) {
    v("traces", traces, "traces: JSON Lines (.zst too) as collect writes them", {.path = true, .required = true});
    v("exclude", exclude, "prompts that must not be learned from: JSON Lines (.zst too)", {.path = true});
    options.fields(v);
    grader.fields(prefixed("grader_", v));
  }
  Status check(Env& env) const;
};

// Errors: curate::run's, and those of the files. Nothing appears under its final name unless the run ends well. The
// folder `place.out` gets examples.jsonl, rejects.jsonl, tally.json, data_card.json, data_card.md; what a grader was
// paid is in `place.work`/grader.sqlite and the cost book, whatever the end.
Result<Tally> curate_files(const CurateJob& job, const JobPlace& place, Env& env);

}  // namespace retort::app
