// `retort split`: share out prompts that come in one piece: train.jsonl to learn from, test.jsonl to measure with.
#include <fmt/core.h>

#include "app/command.h"
#include "app/prompt_files.h"
#include "app/say.h"

namespace retort::app {

Command split_command() {
  return {"split", "share out prompts that come in one piece: train.jsonl to learn from, test.jsonl to measure with",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            const auto out = std::make_shared<std::string>();
            const auto json = std::make_shared<bool>(false);
            cli.add_option("--out", *out, "folder for train.jsonl and test.jsonl")->required()->type_name("DIR");
            cli.add_flag("--json", *json, "write the counts as one JSON object");
            const JobFlags<SplitJob> flags(cli);
            return flags.run([out, json](const SplitJob& job) -> Result<int> {
              RETORT_ASSIGN(const Sides sides, split_files(job, verb_place(*out, "split"), system_env()));
              if (*json)
                say("{}\n", to_text({{"train", sides.train}, {"test", sides.test}}));
              else
                say("{0}/train.jsonl: {1} prompts, {0}/test.jsonl: {2}\n", *out, sides.train, sides.test);
              return 0;
            });
          }};
}

}  // namespace retort::app
