// `retort problems`: make arithmetic and word problems from a seed: train.jsonl and test.jsonl.
#include "app/prompt_command.h"

namespace retort::app {

Command problems_command() {
  return {"problems", "make arithmetic and word problems from a seed: train.jsonl and test.jsonl",
          [](CommandLine& cli) { return prompt_verb(cli, "problems", &problems_files); }};
}

}  // namespace retort::app
