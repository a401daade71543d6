// `retort collect`: prompts to a teacher over HTTP, or published reasoning from a file, into traces. The folder --out
// gets traces.jsonl, rejects.jsonl and tally.json when all is done, and the store and the cost book from the start.
#include <fmt/core.h>

#include "app/collect_files.h"
#include "app/command.h"
#include "app/say.h"

namespace retort::app {
namespace {

void report(const Tally& tally, const std::string& out) {
  say("{} inputs, {} traces kept, {} rejected", tally.in, tally.kept, tally.dropped);
  for (const auto& [reason, count] : tally.reasons) say(", {} {}", count, reason);
  for (const auto& [what, count] : tally.counts) say("; {} {}", count, what);
  say("\n{}/traces.jsonl\n", out);
}

}  // namespace

Command collect_command() {
  return {
      "collect", "ask a teacher, within a budget, or import published reasoning: prompts to traces",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        const auto out = std::make_shared<std::string>();
        const auto json = std::make_shared<bool>(false);
        cli.add_option("--out", *out, "folder for traces.jsonl, rejects.jsonl, tally.json, collect.sqlite, costs.jsonl")
            ->type_name("DIR")
            ->required();
        cli.add_flag("--json", *json, "write the tally as one JSON object");
        const JobFlags<CollectJob> flags(cli);
        return flags.run([out, json](CollectJob job) -> Result<int> {
          RETORT_ASSIGN(const Tally tally, collect_files(std::move(job), verb_place(*out, "collect"), system_env()));
          if (*json)
            say("{}\n", to_text(encode(tally)));
          else
            report(tally, *out);
          return 0;
        });
      }};
}

}  // namespace retort::app
