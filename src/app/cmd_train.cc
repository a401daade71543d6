// `retort train`: examples to a student, with progress and the share of samples that were cut.
#include <cmath>

#include <fmt/core.h>

#include "app/command.h"
#include "app/say.h"
#include "app/train_files.h"
#include "base/log.h"
#include "base/progress.h"
#include "train/train.h"

namespace retort::app {
namespace {

void summarise(const train::Report& report, const std::string& out) {
  const train::DataSummary& d = report.data;
  say("{}: {} steps, {} tokens ({} in the loss), loss {:.4f} to {:.4f}, {} FLOPs in {} ({} tokens/s)\n", out,
      report.steps, format_count(static_cast<double>(report.tokens)),
      format_count(static_cast<double>(report.target_tokens)), report.first_loss, report.last_loss,
      format_count(report.flops), format_duration(report.seconds),
      format_count(static_cast<double>(report.tokens) / std::max(report.seconds, 1e-9)));
  say("{} of {} examples were cut at max_length ({:.1f} %, {} tokens lost); {} skipped, their prompts alone fill it\n",
      d.cut, d.examples, 100.0 * static_cast<double>(d.cut) / static_cast<double>(std::max<int64_t>(1, d.examples)),
      d.cut_tokens, d.skipped);
}

Result<int> train_with(const TrainJob& job, const std::string& out, bool replace, bool json) {
  std::unique_ptr<Progress> bar;
  const auto watch = [&](const train::Snapshot& s) {
    if (!bar) bar = std::make_unique<Progress>("train", s.tokens, "tokens");
    bar->update(s.tokens_done, fmt::format("step {}/{}  loss {:.4f}  {:.0f} tok/s", s.row.step, s.steps, s.row.loss,
                                           s.tokens_per_second));
  };
  RETORT_ASSIGN(const train::Report report, train_files(job, verb_place(out, "train"), replace, watch, system_env()));
  if (bar) bar->finish();
  if (report.resumed_from > 0) log::info("went on from the checkpoint of step {}", report.resumed_from);
  if (json)
    say("{}\n", to_text(encode(report)));
  else
    summarise(report, out);
  return 0;
}

}  // namespace

Command train_command() {
  return {
      "train", "train a student on examples: full fine-tuning, LoRA, or from scratch",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        const auto out = std::make_shared<std::string>();
        const auto replace = std::make_shared<bool>(false), json = std::make_shared<bool>(false);
        cli.add_option("--out", *out, "the Hugging Face directory to write; stopped, the same command goes on")
            ->required()
            ->type_name("DIR");
        cli.add_flag("--replace", *replace, "replace an existing --out, where retort wrote all that is in it");
        cli.add_flag("--json", *json, "the report as one JSON object");
        const JobFlags<TrainJob> flags(cli);
        return flags.run([=](const TrainJob& job) -> Result<int> { return train_with(job, *out, *replace, *json); });
      }};
}

}  // namespace retort::app
