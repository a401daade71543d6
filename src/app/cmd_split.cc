// `retort split`: share out prompts that come in one piece: train.jsonl to learn from, test.jsonl to measure with.
#include "app/prompt_command.h"

namespace retort::app {

Command split_command() {
  return {"split", "share out prompts that come in one piece: train.jsonl to learn from, test.jsonl to measure with",
          [](CommandLine& cli) { return prompt_verb(cli, "split", &split_files); }};
}

}  // namespace retort::app
