// The step kind `split`: train.jsonl and test.jsonl from prompts that come in one piece.
#include "app/eval_files.h"
#include "app/forecast.h"
#include "app/split_prompts.h"
#include "app/steps.h"
#include "record/stream.h"

namespace retort::app {
namespace {

struct SplitStep {
  std::vector<std::string> from;
  SplitOptions options;

  template <class V>
  void fields(V&& v) {
    v("from", from, "files of prompts: JSON Lines (.zst too)");
    options.fields(v);
  }
};

Status run_split(StepContext& context) {
  SplitStep step;
  RETORT_TRY(load_options(step, context.options));
  if (step.from.empty()) return fail(Code::Invalid, "`from` is empty; name at least one file of prompts");
  std::vector<Prompt> prompts;
  for (const std::string& path : step.from) {
    RETORT_ASSIGN(const auto source, open_jsonl<Prompt>(path));
    RETORT_ASSIGN(auto read, read_all(*source));
    for (Prompt& prompt : read) {
      if (prompt.task.empty()) prompt.task = task_of_file(path);
      prompts.push_back(std::move(prompt));
    }
  }
  RETORT_ASSIGN(const PromptSplit sides, split_prompts(step.options, std::move(prompts)));
  const auto write = [&](const std::vector<Prompt>& side, const char* name) -> Status {
    RETORT_ASSIGN(const auto sink, create_jsonl<Prompt>(context.out + "/" + name, context.env));
    for (const Prompt& prompt : side) RETORT_TRY(sink->put(prompt));
    return sink->close();
  };
  RETORT_TRY(write(sides.train, "train.jsonl"));
  return write(sides.test, "test.jsonl");
}

Result<Forecast> forecast_split(const StepContext& context) {
  SplitStep step;
  RETORT_TRY(load_options(step, context.options));
  Expected all;
  for (const std::string& path : step.from) {
    RETORT_ASSIGN(const Expected some, expect_file(context, path, 0));
    add_expected(all, some);
  }
  const auto side = [&](double share, int64_t limit) {
    Expected part = all;
    part.records = all.records * share;
    if (limit > 0) part.records = std::min(part.records, static_cast<double>(limit));
    part.prompts = part.records;
    return part;
  };
  const double share = step.options.train_share;
  Forecast forecast{0.2, 0, 0, "a fraction of a second"};
  forecast.outputs["train.jsonl"] = side(share, 0);
  forecast.outputs["test.jsonl"] = side(1 - share, step.options.test);
  return forecast;
}

}  // namespace

StepKind split_step() { return {"split", 1, {"from"}, check_as<SplitStep>, forecast_split, run_split}; }

}  // namespace retort::app
