// What `retort problems` and `retort split` share: a folder that gets train.jsonl and test.jsonl, and how many prompts
// went into each.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/command.h"
#include "app/prompt_files.h"
#include "app/say.h"

namespace retort::app {

// The flags of `verb`, whose `files` writes both sides of a job, and what runs after they were parsed.
template <class J>
std::function<Result<int>()> prompt_verb(CommandLine& cli, const char* verb,
                                         Result<Sides> (*files)(const J&, const JobPlace&, Env&)) {
  const auto out = std::make_shared<std::string>();
  const auto json = std::make_shared<bool>(false);
  cli.add_option("--out", *out, "folder for train.jsonl and test.jsonl")->required()->type_name("DIR");
  cli.add_flag("--json", *json, "write the counts as one JSON object");
  const JobFlags<J> flags(cli);
  return flags.run([out, json, verb, files](const J& job) -> Result<int> {
    RETORT_ASSIGN(const Sides sides, files(job, verb_place(*out, verb), system_env()));
    if (*json)
      say("{}\n", to_text({{"train", sides.train}, {"test", sides.test}}));
    else
      say("{0}/train.jsonl: {1} prompts, {0}/test.jsonl: {2}\n", *out, sides.train, sides.test);
    return 0;
  });
}

}  // namespace retort::app
