// The step kinds that make prompts: problems from a seed, split of what comes in one piece.
#include <algorithm>

#include "app/forecast.h"
#include "app/prompt_files.h"
#include "app/steps.h"
#include "tasks/generate.h"

namespace retort::app {
namespace {

Status run_problems(StepContext& context) {
  RETORT_ASSIGN(const ProblemsJob job, job_of<ProblemsJob>(context));
  return dropped(problems_files(job, place_of(context), context.env));
}

Result<Forecast> forecast_problems(const StepContext& context) {
  RETORT_ASSIGN(const ProblemsJob job, job_of<ProblemsJob>(context));
  RETORT_ASSIGN(const tasks::ProblemSet set, tasks::generate(job.options));
  const auto expect = [](const std::vector<tasks::Problem>& problems) {
    std::vector<SampleText> texts;
    for (const tasks::Problem& problem : problems) texts.push_back({problem.question, ""});
    return expect_texts(texts);
  };
  Forecast forecast{0.2, 0, 0, "a fraction of a second"};
  forecast.outputs["train.jsonl"] = expect(set.train);
  forecast.outputs["test.jsonl"] = expect(set.test);
  return forecast;
}

Status run_split(StepContext& context) {
  RETORT_ASSIGN(const SplitJob job, job_of<SplitJob>(context));
  return dropped(split_files(job, place_of(context), context.env));
}

Result<Forecast> forecast_split(const StepContext& context) {
  RETORT_ASSIGN(const SplitJob job, job_of<SplitJob>(context));
  Expected all;
  for (const std::string& path : job.from) {
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
  const double share = job.options.train_share;
  Forecast forecast{0.2, 0, 0, "a fraction of a second"};
  forecast.outputs["train.jsonl"] = side(share, 0);
  forecast.outputs["test.jsonl"] = side(1 - share, job.options.test);
  return forecast;
}

}  // namespace

StepKind problems_step() {
  StepKind kind = kind_of<ProblemsJob>("problems", 1);
  kind.forecast = forecast_problems;
  kind.run = run_problems;
  kind.outputs = {"train.jsonl", "test.jsonl"};
  return kind;
}

StepKind split_step() {
  StepKind kind = kind_of<SplitJob>("split", 1);
  kind.forecast = forecast_split;
  kind.run = run_split;
  kind.outputs = {"train.jsonl", "test.jsonl"};
  return kind;
}

}  // namespace retort::app
