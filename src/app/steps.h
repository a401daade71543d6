// What the step kinds share, and their list.
#pragma once

#include "app/step.h"
#include "base/options.h"
#include "base/secret.h"

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

}  // namespace retort::app
