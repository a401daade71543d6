// The step kinds that make records: collect, curate.
#include <algorithm>

#include "app/collect_files.h"
#include "app/curate_files.h"
#include "app/eval_files.h"
#include "app/forecast.h"
#include "app/steps.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/options.h"
#include "base/random.h"
#include "collect/import.h"
#include "record/stream.h"
#include "tasks/generate.h"
#include "tasks/steps.h"

namespace retort::app {
namespace {

// ---- collect

// The store outlives a change of the step's options (a higher cap, more samples), because what it holds is paid for and
// each answer is filed under what was asked. Who was asked is not in that, so another teacher gets another store.
Status ready_store(const CollectJob& job, const std::string& folder, Env& env) {
  Json asked = {{"endpoint", job.options.endpoint}};
  if (job.procedural) {
    asked = dump_options(job.teacher);
    asked.erase("delay_ms");  // does not matter
  } else if (!job.serve.empty()) {
    RETORT_ASSIGN(asked["weights"], weights_identity(job.serve, env));
  }
  const std::string note = folder + "/asked.json", text = to_text(asked);
  const auto before = env.read_file(note);
  if (before.ok() && *before == text) return {};
  if (before.ok()) {
    int number = 1;
    while (env.exists(fmt::format("{}/before-{}", folder, number))) ++number;
    const std::string aside = fmt::format("{}/before-{}", folder, number);
    RETORT_ASSIGN(const Folder held, Folder::hold(aside, "collect", env));
    // The store itself goes last: without its write-ahead log it would be older than it is.
    for (const char* name : {"teacher.jsonl", "collect.sqlite-shm", "collect.sqlite-wal", "collect.sqlite"}) {
      if (env.exists(folder + "/" + name)) RETORT_TRY(env.rename(folder + "/" + name, aside + "/" + name));
    }
  }
  return env.write_file(note, text);
}

Status run_collect(StepContext& context) {
  RETORT_ASSIGN(CollectJob job, job_of<CollectJob>(context));
  if (job.import.empty()) RETORT_TRY(ready_store(job, context.work, context.env));
  return dropped(collect_files(std::move(job), place_of(context), context.env));
}

// The traces that an import will give: it is carried out in memory.
Result<Expected> expect_import(const CollectJob& job, Env& env) {
  RETORT_ASSIGN(const auto permission,
                collect::load_permission(job.permission, std::string(collect::kImportEndpoint), env));
  RETORT_ASSIGN(auto rows, open_jsonl<collect::Row>(job.import));
  VectorSink<Trace> traces;
  VectorSink<Reject> rejects;
  collect::ImportOptions import;
  import.format = job.format;
  import.columns = job.columns;
  import.limit = job.options.limit;
  auto tally = collect::run_import(import, permission, *rows, traces, rejects, env);
  if (!tally.ok()) return within(job.import, std::move(tally).error());
  std::vector<SampleText> texts;
  for (const Trace& trace : traces.items)
    texts.push_back({trace.messages.back().content, trace.reasoning + trace.content});
  return expect_texts(texts);
}

Result<Forecast> forecast_collect(const StepContext& context) {
  RETORT_ASSIGN(const CollectJob job, job_of<CollectJob>(context));
  Forecast forecast;
  if (!job.import.empty()) {
    RETORT_ASSIGN(const Expected traces, expect_import(job, context.env));
    forecast.seconds = 1;
    forecast.basis = fmt::format("an import of {:.0f} rows", traces.records);
    forecast.outputs["traces.jsonl"] = traces;
    return forecast;
  }
  RETORT_ASSIGN(Expected traces, expect_file(context, job.prompts, job.options.limit));
  const double requests = traces.records * job.options.samples;
  const std::string asked_model = job.procedural ? job.teacher.model : job.options.model;
  RETORT_ASSIGN(const ledger::Price price, api_price(job.access, asked_model, "", context.env));
  RETORT_ASSIGN(const UsdMicros cap, parse_usd(job.options.cap.empty() ? "0" : job.options.cap));
  ExpectedModel served;
  if (!job.serve.empty()) {
    RETORT_ASSIGN(served, expect_model(context, job.serve));
  }
  RETORT_ASSIGN(const TokenCounter counter, TokenCounter::open(served.text_from, context.env));
  AnswerTokens made = answer_tokens(served, job.options.max_tokens);
  if (job.procedural) {  // its chains can be written down at once
    for (SampleText& text : traces.sample) {
      const auto problem = tasks::solve(text.question);
      if (!problem) continue;
      text.answer =
          tasks::worked(problem->steps, job.teacher.style == "plain" ? tasks::Style::Plain : tasks::Style::Columns) +
          fmt::format("The answer is {}.", problem->answer);
    }
    const double mean = mean_tokens(traces, counter).answer;
    made = {mean, mean, mean};
  }
  const double asked = mean_tokens(traces, counter).question;
  forecast.tokens = static_cast<int64_t>(requests * made.typical);
  const Usage usage{static_cast<int64_t>(asked), static_cast<int64_t>(made.typical), 0};
  forecast.usd_micros = std::min(cap, static_cast<int64_t>(requests) * ledger::charge(price, usage));
  if (job.procedural) {
    forecast.seconds = requests / 400;  // answers that one core stores durably in a second
  } else {
    const auto seconds = [&](double tokens) {
      if (!job.serve.empty())
        return answering_seconds(served, requests * asked, requests * tokens, job.options.concurrency);
      return elsewhere_seconds(requests, tokens, job.options.concurrency);
    };
    forecast.seconds = seconds(made.typical).middle();
    forecast.low = seconds(made.low).low;
    forecast.high = seconds(made.high).high;
  }
  forecast.basis = fmt::format("{:.0f} requests, {:.0f} tokens each, cap {}", requests, made.typical, format_usd(cap));
  traces.prompts = traces.records;
  traces.records = requests;
  if (!job.procedural) {
    // Their texts are not there yet: stand-ins with as many tokens as are reckoned with.
    std::string stand_in;
    for (int i = 0; i < static_cast<int>(made.typical); ++i) stand_in += " the";
    for (SampleText& text : traces.sample) text.answer = stand_in;
  }
  forecast.outputs["traces.jsonl"] = std::move(traces);
  return forecast;
}

// ---- curate

Status run_curate(StepContext& context) {
  RETORT_ASSIGN(const CurateJob job, job_of<CurateJob>(context));
  return dropped(curate_files(job, place_of(context), context.env));
}

Result<Forecast> forecast_curate(const StepContext& context) {
  RETORT_ASSIGN(const CurateJob step, job_of<CurateJob>(context));
  Expected kept;
  Forecast forecast{0, 0, 0, "seconds"};
  for (const std::string& path : step.traces) {
    RETORT_ASSIGN(Expected traces, expect_file(context, path, 0));
    forecast.seconds += traces.records / 8000;
    // Lengths are checked; of what may be kept of a prompt, nearly all is where several samples were asked.
    const double before = static_cast<double>(traces.sample.size());
    std::erase_if(traces.sample, [&](const SampleText& text) {
      const auto bytes = static_cast<int>(std::min<size_t>(text.answer.size(), INT32_MAX));
      return bytes < step.options.min_chars || bytes > step.options.max_chars;
    });
    const double share = before > 0 ? static_cast<double>(traces.sample.size()) / before : 1;
    traces.records *= share;
    traces.prompts *= share;
    if (step.options.max_per_prompt > 0)
      traces.records = std::min(traces.records, traces.prompts * step.options.max_per_prompt);
    add_expected(kept, traces);
  }
  if (step.options.answers_only) {
    constexpr size_t kBareAnswer = 4;
    for (SampleText& text : kept.sample) text.answer.resize(std::min(kBareAnswer, text.answer.size()));
  }
  forecast.outputs["examples.jsonl"] = std::move(kept);
  return forecast;
}

}  // namespace

StepKind collect_step() {
  StepKind kind = kind_of<CollectJob>("collect", 2);
  kind.forecast = forecast_collect;
  kind.run = run_collect;
  kind.keep = {"collect.sqlite", "teacher.jsonl", "asked.json", "before-"};
  kind.books = true;
  kind.outputs = {"traces.jsonl", "rejects.jsonl", "tally.json"};
  return kind;
}

StepKind curate_step() {
  StepKind kind = kind_of<CurateJob>("curate", 1);
  kind.forecast = forecast_curate;
  kind.run = run_curate;
  kind.keep = {"grader.sqlite"};
  kind.outputs = {"examples.jsonl", "rejects.jsonl", "tally.json", "data_card.json", "data_card.md"};
  return kind;
}

}  // namespace retort::app
