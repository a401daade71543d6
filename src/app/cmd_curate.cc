// `retort curate`: traces to examples, with a reason for each trace that is left out and a data card.
#include <fmt/core.h>

#include "app/command.h"
#include "app/curate_files.h"
#include "app/say.h"

namespace retort::app {
namespace {

void report(const Tally& tally, const std::string& out) {
  say("{} traces: {} examples kept, {} traces dropped\n", tally.in, tally.kept, tally.dropped);
  for (const auto& [reason, count] : tally.reasons) say("  {:<14} {}\n", reason, count);
  for (const auto& [what, count] : tally.counts) say("  ({} {})\n", what, count);
  say("{}/data_card.md says more\n", out);
}

}  // namespace

Command curate_command() {
  return {"curate", "check traces and keep what is worth learning from",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            const auto out = std::make_shared<std::string>();
            const auto json = std::make_shared<bool>(false);
            cli.add_option("--out", *out,
                           "folder for examples.jsonl, rejects.jsonl, tally.json and the data card; with a grader also "
                           "grader.sqlite and costs.jsonl")
                ->required()
                ->type_name("DIR");
            cli.add_flag("--json", *json, "write the tally as one JSON object");
            const JobFlags<CurateJob> flags(cli);
            return flags.run([out, json](const CurateJob& job) -> Result<int> {
              RETORT_ASSIGN(const Tally tally, curate_files(job, verb_place(*out, "curate"), system_env()));
              if (*json)
                say("{}\n", to_text(encode(tally)));
              else
                report(tally, *out);
              return 0;
            });
          }};
}

}  // namespace retort::app
