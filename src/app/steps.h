// What the step kinds share, and their list.
#pragma once

#include "app/job.h"
#include "app/step.h"
#include "base/options.h"
#include "base/secret.h"
#include "wire/api_generator.h"

namespace retort::app {

StepKind problems_step();
StepKind split_step();
StepKind collect_step();
StepKind curate_step();
StepKind train_step();
StepKind eval_step();

// A kind whose options are those of job J.
template <class J>
StepKind kind_of(const char* name, int version) {
  StepKind kind{};
  kind.name = name;
  kind.version = version;
  list_options(J(), kind.options);
  kind.check = [](const Json& options, Env& env) -> Status {
    J job;
    RETORT_TRY(load_options(job, options));
    return check_job(job, env);
  };
  return kind;
}

// The options as a job.
template <class J>
Result<J> job_of(const StepContext& context) {
  J job;
  RETORT_TRY(load_options(job, context.options));
  return job;
}

// Where the step works.
inline JobPlace place_of(const StepContext& context) {
  return {context.out, context.work, context.run_folder + "/costs.jsonl", context.id, context.cancel};
}

// The value of an environment variable that holds a key; empty where it is not set.
Secret secret_from_environment(const std::string& variable);
// Headers written `Name: value`, where `env:VARIABLE` and `file:PATH` stand for what they name. Errors: Invalid for a
// key written out (it would lie in the recipe, the stamp and the process list), for no name, for a variable that is not
// set.
Result<wire::ExtraHeaders> extra_headers(const std::vector<std::string>& lines, Env& env);

}  // namespace retort::app
