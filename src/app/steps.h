// What the step kinds share, and their list.
#pragma once

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

// Reads the options as an O, whose unknown keys and types are the errors to report before anything runs.
template <class O>
Status check_as(const Json& options) {
  O parsed;
  return load_options(parsed, options);
}

// The value of an environment variable that holds a key; empty where it is not set.
Secret secret_from_environment(const std::string& variable);
// Headers written `Name: value`, where `env:VARIABLE` and `file:PATH` stand for what they name. Errors: Invalid for a
// key written out (it would lie in the recipe, the stamp and the process list), for no name, for a variable that is not
// set.
Result<wire::ExtraHeaders> extra_headers(const std::vector<std::string>& lines, Env& env);

}  // namespace retort::app
