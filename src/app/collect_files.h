// Collecting from files to a folder: what `retort collect` and a recipe's collect step both do. The teacher is an API,
// a model that is served here for the time of the run, or the procedural one; each is asked over HTTP.
#pragma once

#include <string>

#include "app/answerer.h"
#include "app/job.h"
#include "app/teacher.h"
#include "base/env.h"
#include "collect/collect.h"
#include "collect/import.h"

namespace retort::app {

struct CollectJob {
  std::string prompts, import, format = "auto", task, permission, serve;
  std::vector<std::string> columns;
  bool procedural = false;
  TeacherManner teacher;
  ApiAccess access;
  collect::Options options;

  template <class V>
  void fields(V&& v) {
    v("prompts", prompts, "prompts: JSON Lines (.zst too) or Parquet", {.path = true});
    v("import", import, "published reasoning in place of prompts and a teacher: JSON Lines (.zst too) or Parquet",
      {.path = true});
    v("format", format, "of the import", {.one_of = "auto, gsm8k, sharegpt, messages, columns"});
    v("columns", columns, "of the import: the file's names for its columns, as question=q,content=gen");
    v("task", task, "of the import: the task's name where rows give none");
    v("permission", permission, "the teacher's permission record (YAML)", {.path = true});
    v("serve", serve, "a model to serve here and ask over HTTP, in place of an endpoint", {.path = true});
    v("procedural", procedural, "ask retort's own procedural teacher, started here, in place of an endpoint");
    v("teacher", teacher, "");
    access.fields(v);
    options.fields(v);
  }
  Status check(Env& env) const;
};

// Errors: collect::run's and those of the files; spending is booked whatever the end. The folder `place.out` gets
// traces.jsonl, rejects.jsonl and tally.json at the end; where the run ended early with something bought, they hold
// that, and tally.json says `incomplete`.
Result<Tally> collect_files(CollectJob job, const JobPlace& place, Env& env);

}  // namespace retort::app
