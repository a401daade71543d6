// Jobs: what a stage can be told, as one struct whose fields() are both the verb's flags and the recipe step's options.
// A job knows nothing of who runs it; where it works is its place.
#pragma once

#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "base/options.h"
#include "base/result.h"

namespace retort::app {

struct JobPlace {
  std::string out;    // folder of the output
  std::string work;   // folder of stores and of what is not finished; a verb's is `out`
  std::string costs;  // cost book
  std::string stage;  // the name in it: the verb's, or the step's
  Cancel cancel;
};

// Whether a job can be done, as far as its options tell: before any work, and for all steps of a recipe before the
// first. J::check(Env&) says what the fields cannot; it leaves files that are not there yet for later.
template <class J>
Status check_job(const J& job, Env& env) {
  std::vector<OptionField> fields;
  list_options(job, fields);
  for (const OptionField& field : fields) {
    if (field.about.required && (field.value.empty() || field.value == ""))
      return fail(Code::Invalid, "`{}` is missing: {}", field.path, field.help);
  }
  return job.check(env);
}

// A result of which only the error matters.
template <class T>
Status dropped(const Result<T>& result) {
  return result.ok() ? Status() : Status(result.error());
}

// The place of a verb that writes to `out`.
inline JobPlace verb_place(const std::string& out, const std::string& verb) {
  return {out, out, out + "/costs.jsonl", verb, process_cancel()};
}

}  // namespace retort::app
