// `retort train`: examples to a student, with progress and the share of samples that were cut.
#include <cmath>

#include <fmt/core.h>

#include "app/command.h"
#include "app/train_files.h"
#include "base/cancel.h"
#include "base/env.h"
#include "base/log.h"
#include "base/progress.h"
#include "train/train.h"

namespace retort::app {
namespace {

struct State {
  explicit State(CommandLine& cli) : flags(cli, train::Options{}) {}
  OptionFlags flags;
  train::Task task;
  std::string examples;
  bool scratch = false, json = false;
};

void summarise(const train::Report& report, const std::string& out) {
  const train::DataSummary& d = report.data;
  fmt::print("{}: {} steps, {} tokens ({} in the loss), loss {:.4f} to {:.4f}, {} FLOPs in {} ({} tokens/s)\n", out,
             report.steps, format_count(static_cast<double>(report.tokens)),
             format_count(static_cast<double>(report.target_tokens)), report.first_loss, report.last_loss,
             format_count(report.flops), format_duration(report.seconds),
             format_count(static_cast<double>(report.tokens) / std::max(report.seconds, 1e-9)));
  fmt::print(
      "{} of {} examples were cut at max_length ({:.1f} %, {} tokens lost); {} skipped, their prompts alone fill it\n",
      d.cut, d.examples, 100.0 * static_cast<double>(d.cut) / static_cast<double>(std::max<int64_t>(1, d.examples)),
      d.cut_tokens, d.skipped);
}

Result<int> train_with(State& state) {
  train::Options options;
  RETORT_TRY(state.flags.load(options));
  if (state.scratch != state.task.base.empty())
    return fail(Code::Invalid, "give either --base MODEL or --scratch, where the student starts");
  std::unique_ptr<Progress> bar;
  const auto watch = [&](const train::Snapshot& s) {
    if (!bar) bar = std::make_unique<Progress>("train", s.tokens, "tokens");
    bar->update(s.tokens_done, fmt::format("step {}/{}  loss {:.4f}  {:.0f} tok/s", s.row.step, s.steps, s.row.loss,
                                           s.tokens_per_second));
  };
  RETORT_ASSIGN(const train::Report report,
                train_files(options, state.task, state.examples, watch, system_env(), process_cancel()));
  if (bar) bar->finish();
  if (report.resumed_from > 0) log::info("went on from the checkpoint of step {}", report.resumed_from);
  if (state.json)
    fmt::print("{}\n", to_text(encode(report)));
  else
    summarise(report, state.task.out);
  return 0;
}

}  // namespace

Command train_command() {
  return {
      "train", "train a student on examples: full fine-tuning, LoRA, or from scratch",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        auto state = std::make_shared<State>(cli);
        cli.add_option("--examples", state->examples, "examples as JSONL, as `retort curate` writes them")
            ->required()
            ->type_name("FILE");
        cli.add_option("--base", state->task.base, "the model to start from")->type_name("MODEL");
        cli.add_flag("--scratch", state->scratch, "start from new weights (see --scratch.layers and its like)");
        cli.add_option(
               "--tokenizer", state->task.tokenizer,
               "with --scratch: a model or tokenizer.json whose tokenizer to use; default: learned from the examples")
            ->type_name("PATH");
        cli.add_option("--out", state->task.out,
                       "the Hugging Face directory to write; stopped, the same command goes on")
            ->required()
            ->type_name("DIR");
        cli.add_flag("--replace", state->task.replace, "replace an existing --out");
        cli.add_flag("--json", state->json, "the report as one JSON object");
        return [state] { return train_with(*state); };
      }};
}

}  // namespace retort::app
