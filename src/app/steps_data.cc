// The step kinds that make records: problems, collect, curate.
#include <algorithm>

#include "app/collect_files.h"
#include "app/curate_files.h"
#include "app/eval_files.h"
#include "app/forecast.h"
#include "app/steps.h"
#include "base/hash.h"
#include "base/options.h"
#include "base/random.h"
#include "record/stream.h"
#include "tasks/generate.h"

namespace retort::app {
namespace {

// ---- problems: train.jsonl and test.jsonl from a seed

Status run_problems(StepContext& context) {
  tasks::Options options;
  RETORT_TRY(load_options(options, context.options));
  RETORT_ASSIGN(const tasks::ProblemSet set, tasks::generate(options));
  const auto write = [&](const std::vector<tasks::Problem>& problems, const std::string& name,
                         double without_answer) -> Status {
    RETORT_ASSIGN(const auto sink, create_jsonl<Prompt>(context.out + "/" + name + ".jsonl", context.env));
    Random random(options.seed, fnv1a(name));
    for (size_t i = 0; i < problems.size(); ++i) {
      RETORT_TRY(
          sink->put(tasks::to_prompt(problems[i], name, static_cast<int>(i), random.uniform() >= without_answer)));
    }
    return sink->close();
  };
  RETORT_TRY(write(set.train, "train", options.without_answer));
  return write(set.test, "test", 0);
}

Result<Forecast> forecast_problems(const StepContext& context) {
  tasks::Options options;
  RETORT_TRY(load_options(options, context.options));
  Forecast forecast{0.2, 0, 0, "a fraction of a second"};
  constexpr double kPromptBytes = 150;
  forecast.outputs["train.jsonl"] = {static_cast<double>(options.train), options.train * kPromptBytes};
  forecast.outputs["test.jsonl"] = {static_cast<double>(options.test), options.test * kPromptBytes};
  return forecast;
}

// ---- collect

struct CollectStep {
  std::string prompts, import, format = "auto", task, permission, prices, serve, key_variable = "RETORT_API_KEY";
  bool procedural = false;
  TeacherOptions teacher;
  collect::Options options;

  template <class V>
  void fields(V&& v) {
    v("prompts", prompts, "JSONL or Parquet of prompts");
    v("import", import, "published reasoning in place of a teacher");
    v("format", format, "of the import: auto, gsm8k, sharegpt, messages, columns");
    v("task", task, "of the import: the task's name where rows give none");
    v("permission", permission, "the teacher's permission record");
    v("prices", prices, "price list");
    v("serve", serve, "a model to serve here and ask over HTTP");
    v("procedural", procedural, "ask retort's own procedural teacher, started here");
    v("teacher", teacher, "options of the procedural teacher");
    v("key_variable", key_variable, "environment variable that holds the API key");
    options.fields(v);
  }
};

Result<CollectJob> collect_job(const StepContext& context) {
  CollectStep step;
  RETORT_TRY(load_options(step, context.options));
  CollectJob job;
  job.options = step.options;
  job.prompts = step.prompts;
  job.import = step.import;
  job.format = step.format;
  job.task = step.task;
  job.permission = step.permission;
  job.prices = step.prices;
  job.serve = step.serve;
  job.procedural = step.procedural;
  job.teacher = step.teacher;
  job.key = secret_from_environment(step.key_variable);
  job.out = context.out;
  job.work = context.work;
  job.costs = context.run_folder + "/costs.jsonl";
  job.stage = context.id;
  job.cancel = context.cancel;
  return job;
}

// The store outlives a change of the step's options (a higher cap, more samples), because what it holds is paid for and
// each answer is filed under what was asked. Who was asked is not in that, so another teacher gets another store.
Status ready_store(const CollectJob& job, const std::string& folder, Env& env) {
  Json asked = {{"endpoint", job.options.endpoint}};
  if (job.procedural) {
    asked = dump_options(job.teacher);
    for (const char* no_matter : {"host", "port", "log", "delay_ms"}) asked.erase(no_matter);
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
    RETORT_TRY(env.make_directories(aside));
    // The store itself goes last: without its write-ahead log it would be older than it is.
    for (const char* name : {"teacher.jsonl", "collect.sqlite-shm", "collect.sqlite-wal", "collect.sqlite"}) {
      if (env.exists(folder + "/" + name)) RETORT_TRY(env.rename(folder + "/" + name, aside + "/" + name));
    }
  }
  return env.write_file(note, text);
}

Status run_collect(StepContext& context) {
  RETORT_ASSIGN(CollectJob job, collect_job(context));
  if (job.import.empty()) RETORT_TRY(ready_store(job, context.work, context.env));
  RETORT_ASSIGN(const Tally tally, collect_files(std::move(job), context.env));
  (void)tally;
  return {};
}

// Bytes of a trace or example beside its text: ids, hashes, parameters.
constexpr double kRecordBytes = 500;

Result<Forecast> forecast_collect(const StepContext& context) {
  RETORT_ASSIGN(const CollectJob job, collect_job(context));
  Forecast forecast;
  if (!job.import.empty()) {
    RETORT_ASSIGN(const Expected rows, expect_file(context, job.import, job.options.limit));
    forecast.seconds = 1;
    forecast.basis = fmt::format("an import of {:.0f} rows", rows.records);
    forecast.outputs["traces.jsonl"] = {rows.records, rows.bytes + kRecordBytes * rows.records};
    return forecast;
  }
  RETORT_ASSIGN(const Expected prompts, expect_file(context, job.prompts, job.options.limit));
  const double requests = prompts.records * job.options.samples;
  RETORT_ASSIGN(const auto prices, ledger::load_prices(job.prices, context.env));
  const std::string model = job.procedural ? job.teacher.model : job.options.model;
  RETORT_ASSIGN(const ledger::Price price, ledger::price_of(prices, model, job.prices));
  const int answer = std::min(kTypicalAnswerTokens, job.options.max_tokens);
  const int64_t asked =
      prompts.records > 0 ? static_cast<int64_t>(prompts.bytes / prompts.records / kBytesPerToken) : 0;
  RETORT_ASSIGN(const UsdMicros cap, parse_usd(job.options.cap));
  forecast.tokens = static_cast<int64_t>(requests * answer);
  forecast.usd_micros = std::min(cap, static_cast<int64_t>(requests) * ledger::charge(price, {asked, answer, 0}));
  if (job.procedural) {
    forecast.seconds = requests / 400;  // answers that one core stores durably in a second
  } else if (!job.serve.empty()) {
    RETORT_ASSIGN(const double parameters, expect_parameters(context, job.serve));
    forecast.seconds = 2 * parameters * requests * (answer + static_cast<double>(asked)) / machine_flops();
  } else {
    forecast.seconds = requests * 10 / job.options.concurrency;  // ten seconds an answer
  }
  forecast.basis = fmt::format("{:.0f} requests, {} tokens each, cap {}", requests, answer, format_usd(cap));
  forecast.outputs["traces.jsonl"] = {requests, requests * (kRecordBytes + answer * kBytesPerToken)};
  return forecast;
}

// ---- curate

struct CurateStep {
  std::vector<std::string> traces, exclude;
  curate::Options options;

  template <class V>
  void fields(V&& v) {
    v("traces", traces, "JSONL of traces");
    v("exclude", exclude, "JSONL of prompts that must not be learned from");
    options.fields(v);
  }
};

Status run_curate(StepContext& context) {
  CurateStep step;
  RETORT_TRY(load_options(step, context.options));
  CurateJob job;
  job.options = step.options;
  job.traces = step.traces;
  job.exclude = step.exclude;
  job.out = context.out;
  job.cancel = context.cancel;
  RETORT_ASSIGN(const Tally tally, curate_files(job, context.env));
  (void)tally;
  return {};
}

Result<Forecast> forecast_curate(const StepContext& context) {
  CurateStep step;
  RETORT_TRY(load_options(step, context.options));
  Forecast forecast{0, 0, 0, "seconds"};
  Expected traces;
  for (const std::string& path : step.traces) {
    RETORT_ASSIGN(const Expected some, expect_file(context, path, 0));
    traces.records += some.records;
    traces.bytes += some.bytes;
  }
  forecast.seconds = traces.records / 8000;
  // About half are wrong, cut, double or surplus.
  forecast.outputs["examples.jsonl"] = {traces.records / 2, traces.bytes / 2};
  return forecast;
}

}  // namespace

StepKind problems_step() { return {"problems", 1, {}, check_as<tasks::Options>, forecast_problems, run_problems}; }
StepKind collect_step() {
  return {
      "collect",        1,           {"prompts", "import", "permission", "prices", "serve"},      check_as<CollectStep>,
      forecast_collect, run_collect, {"collect.sqlite", "teacher.jsonl", "asked.json", "before-"}};
}
StepKind curate_step() {
  return {"curate", 1, {"traces", "exclude"}, check_as<CurateStep>, forecast_curate, run_curate};
}

}  // namespace retort::app
