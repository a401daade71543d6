// `retort problems`: make arithmetic and word problems from a seed: train.jsonl and test.jsonl.
#include <fmt/core.h>

#include "app/command.h"
#include "app/prompt_files.h"
#include "app/say.h"

namespace retort::app {

Command problems_command() {
  return {"problems", "make arithmetic and word problems from a seed: train.jsonl and test.jsonl",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            const auto out = std::make_shared<std::string>();
            const auto json = std::make_shared<bool>(false);
            cli.add_option("--out", *out, "folder for train.jsonl and test.jsonl")->required()->type_name("DIR");
            cli.add_flag("--json", *json, "write the counts as one JSON object");
            const JobFlags<ProblemsJob> flags(cli);
            return flags.run([out, json](const ProblemsJob& job) -> Result<int> {
              RETORT_ASSIGN(const Sides sides, problems_files(job, verb_place(*out, "problems"), system_env()));
              if (*json)
                say("{}\n", to_text({{"train", sides.train}, {"test", sides.test}}));
              else
                say("{0}/train.jsonl: {1} prompts, {0}/test.jsonl: {2}\n", *out, sides.train, sides.test);
              return 0;
            });
          }};
}

}  // namespace retort::app
