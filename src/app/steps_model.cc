// The step kinds that make or measure a model: train, eval.
#include <filesystem>

#include "app/eval_files.h"
#include "app/forecast.h"
#include "app/open_model.h"
#include "app/stamp.h"
#include "app/steps.h"
#include "base/hash.h"
#include "base/progress.h"
#include "ledger/cost_book.h"
#include "ledger/cost_model.h"
#include "model/model.h"
#include "record/stream.h"
#include "train/train.h"

namespace retort::app {
namespace {

// Bytes of an example's record beside its text.
constexpr double kExampleOverhead = 500;

// Parameters that take part in a product for each token, the head once.
double parameters_of(const model::Config& c) {
  const double d = c.hidden_size, q = static_cast<double>(c.heads) * c.head_dim,
               kv = static_cast<double>(c.kv_heads) * c.head_dim;
  return c.layers * (d * (2 * q + 2 * kv) + 3 * d * c.ffn_size) + d * c.vocab_size;
}

std::string book_of(const StepContext& context) { return context.run_folder + "/costs.jsonl"; }

// The run's name in the cost book: the same for every try of the same work, another where options or inputs changed.
Result<std::string> run_name(const StepContext& context) {
  RETORT_ASSIGN(const std::string claim, sha256_file(context.work + "/claim.json"));
  return context.id + "/" + claim.substr(0, 8);
}

// ---- train

struct TrainStep {
  std::string examples, base, tokenizer, flops_of;
  bool from_scratch = false;
  train::Options options;

  template <class V>
  void fields(V&& v) {
    v("examples", examples, "JSONL of examples");
    v("base", base, "model to start from");
    v("tokenizer", tokenizer, "from scratch: whose tokenizer to use; default: learned from the examples");
    v("flops_of", flops_of, "a train step's folder: train with as many FLOPs as it did");
    v("from_scratch", from_scratch, "start from new weights");
    options.fields(v);
  }
};

constexpr const char* kTrainFacts[] = {"train_log.jsonl", "train_report.json"};

Result<Json> read_train_report(const std::string& folder, Env& env) {
  RETORT_ASSIGN(const std::string text, env.read_file(folder + "/" + kWorkFolder + "/train_report.json"));
  return parse_json(text);
}

Result<TrainStep> read_train_step(const StepContext& context) {
  TrainStep step;
  RETORT_TRY(load_options(step, context.options));
  if (step.from_scratch == !step.base.empty()) return fail(Code::Invalid, "give either `base` or `from_scratch: true`");
  if (!step.flops_of.empty()) {
    if (auto report = read_train_report(step.flops_of, context.env); report.ok()) {
      RETORT_ASSIGN(step.options.max_flops, get_double(*report, "flops", 0));
    } else if (report.error().code != Code::NotFound) {
      return std::move(report).error();
    }
  }
  return step;
}

Status train_model(StepContext& context, const TrainStep& step, const std::string& out) {
  train::Task task;
  task.base = step.base;
  task.tokenizer = step.tokenizer;
  task.out = out;
  task.replace = true;
  RETORT_ASSIGN(const auto source, open_jsonl<Example>(step.examples));
  std::unique_ptr<Progress> bar;
  const auto watch = [&](const train::Snapshot& s) {
    if (!bar) bar = std::make_unique<Progress>(context.id, s.tokens, "tokens");
    bar->update(s.tokens_done, fmt::format("step {}/{}, loss {:.4f}", s.row.step, s.steps, s.row.loss));
  };
  RETORT_ASSIGN(const train::Report report,
                train::run(step.options, task, *source, watch, context.env, context.cancel));
  if (bar) bar->finish();
  (void)report;  // it is in the folder
  return {};
}

// Rows of the same run replace one another, so a step that was killed after booking may book again.
Status book_training(const StepContext& context, const std::string& method) {
  RETORT_ASSIGN(const Json report, read_train_report(context.out, context.env));
  std::vector<ledger::CostRow> rows(1);
  rows[0].stage = context.id;
  RETORT_ASSIGN(rows[0].run, run_name(context));
  rows[0].what = method;
  RETORT_ASSIGN(rows[0].tokens_in, get_int(report, "tokens", 0));
  RETORT_ASSIGN(rows[0].flops, get_double(report, "flops", 0));
  if (const Json* run = find(report, "run")) {
    RETORT_ASSIGN(rows[0].seconds, get_double(*run, "seconds", 0));
    RETORT_ASSIGN(const int64_t lost, get_int(*run, "lost_steps", 0));
    if (lost > 0) {
      rows.push_back(rows[0]);
      rows[1].state = "resumed";
      rows[1].tokens_in = 0;
      RETORT_ASSIGN(rows[1].flops, get_double(*run, "lost_flops", 0));
      RETORT_ASSIGN(rows[1].seconds, get_double(*run, "lost_seconds", 0));
    }
  }
  return ledger::append_costs(book_of(context), rows, context.env);
}

Status run_train(StepContext& context) {
  RETORT_ASSIGN(const TrainStep step, read_train_step(context));
  Env& env = context.env;
  const std::string model = context.out + "/model", unfinished = context.work + "/model";
  // Each of these steps may have been the last before a kill.
  if (!env.exists(model) || !env.exists(context.work + "/train_report.json")) {
    const bool reported =
        env.exists(unfinished + "/train_report.json") || env.exists(context.work + "/train_report.json");
    const bool trained =
        env.exists(unfinished) && reported && (step.options.method != "lora" || env.exists(unfinished + "/adapter"));
    if (!trained) RETORT_TRY(train_model(context, step, unfinished));
    // Run facts (seconds) stay out of the step's output, so that equal runs have equal bytes.
    for (const char* name : kTrainFacts) {
      if (env.exists(unfinished + "/" + name)) {
        RETORT_ASSIGN(const std::string text, env.read_file(unfinished + "/" + name));
        RETORT_TRY(env.write_file(context.work + "/" + name, text));
      }
    }
    for (const char* name : kTrainFacts) RETORT_TRY(env.remove_all(unfinished + "/" + name));
    RETORT_TRY(env.rename(unfinished, model));
  }
  // Checkpoints, and what a kill left of writing the model (model.tmp-...).
  RETORT_ASSIGN(const std::vector<std::string> names, env.list_directory(context.work));
  for (const std::string& name : names) {
    if (name.starts_with("model.")) RETORT_TRY(env.remove_all(context.work + "/" + name));
  }
  return book_training(context, step.options.method);
}

Result<Forecast> forecast_train(const StepContext& context) {
  RETORT_ASSIGN(const TrainStep step, read_train_step(context));
  const train::ScratchOptions& s = step.options.scratch;
  model::Config scratch;
  scratch.hidden_size = s.hidden;
  scratch.layers = s.layers;
  scratch.heads = s.heads;
  scratch.kv_heads = s.kv_heads;
  scratch.head_dim = s.hidden / std::max(1, s.heads);
  scratch.ffn_size = s.ffn;
  scratch.vocab_size = s.vocab_size;
  double parameters = parameters_of(scratch);
  if (!step.base.empty()) {
    RETORT_ASSIGN(parameters, expect_parameters(context, step.base));
  }
  RETORT_ASSIGN(const Expected examples, expect_file(context, step.examples, 0));
  const double bytes = std::max(0.0, examples.bytes - kExampleOverhead * examples.records);
  double tokens = bytes / kBytesPerToken * step.options.epochs;
  double flops = 6 * parameters * tokens;
  const auto other = context.expected.find(step.flops_of);
  if (step.options.max_flops > 0)
    flops = step.options.max_flops;
  else if (other != context.expected.end())
    flops = other->second.flops;
  if (parameters > 0) tokens = flops / (6 * parameters);
  Forecast forecast;
  forecast.tokens = static_cast<int64_t>(tokens);
  // Small products, attention and the optimizer leave about a third of the kernels' rate.
  const double rate = machine_flops() / 3;
  forecast.seconds = flops / rate;
  forecast.basis = fmt::format("{} FLOPs at {} a second", format_count(flops), format_count(rate));
  forecast.outputs["model"] = {0, 0, parameters, flops};
  forecast.outputs[""] = {0, 0, parameters, flops};
  return forecast;
}

// ---- eval

struct EvalStep {
  std::vector<std::string> tasks;
  std::string model;
  int threads = 0;
  eval::Options options;

  template <class V>
  void fields(V&& v) {
    v("tasks", tasks, "JSONL of prompts with answers");
    v("model", model, "model to measure");
    v("threads", threads, "0: those the process may use");
    options.fields(v);
  }
};

Status run_eval(StepContext& context) {
  EvalStep step;
  RETORT_TRY(load_options(step, context.options));
  Env& env = context.env;
  infer::Options options;
  options.threads = step.threads;
  options.name = context.id;
  RETORT_ASSIGN(const auto engine, open_engine(step.model, options));
  EvalJob job;
  job.options = step.options;
  job.tasks = step.tasks;
  job.out = context.out;
  job.partial = context.work + "/scores.partial.jsonl";
  RETORT_ASSIGN(job.identity, weights_identity(step.model, env));
  job.cancel = context.cancel;
  const int64_t start = env.monotonic_us();
  RETORT_ASSIGN(const eval::Summary summary, eval_files(job, *engine, env));
  ledger::CostRow row;
  row.stage = context.id;
  RETORT_ASSIGN(row.run, run_name(context));
  row.what = "eval";
  row.requests = summary.all.scores;
  row.tokens_out = static_cast<int64_t>(summary.all.mean_tokens * static_cast<double>(summary.all.scores));
  row.flops = 2.0 * parameters_of(engine->model().config) * static_cast<double>(row.tokens_out);
  row.seconds = static_cast<double>(env.monotonic_us() - start) * 1e-6;
  RETORT_TRY(ledger::append_costs(book_of(context), {row}, env));
  // The questions' texts, for the report's samples.
  Json questions = Json::object();
  for (const std::string& file : step.tasks) {
    RETORT_ASSIGN(const auto source, open_jsonl<Prompt>(file));
    RETORT_ASSIGN(const auto prompts, read_all(*source));
    for (const Prompt& prompt : prompts) questions[prompt.id] = prompt.messages.back().content;
  }
  return env.write_file(context.out + "/questions.json", to_text(questions) + "\n");
}

Result<Forecast> forecast_eval(const StepContext& context) {
  EvalStep step;
  RETORT_TRY(load_options(step, context.options));
  double answers = 0, asked = 0;
  for (const std::string& file : step.tasks) {
    RETORT_ASSIGN(const Expected prompts, expect_file(context, file, step.options.limit));
    answers += prompts.records * step.options.samples;
    asked += prompts.bytes * step.options.samples / kBytesPerToken;
  }
  const double made = answers * std::min(kTypicalAnswerTokens, step.options.max_tokens);
  RETORT_ASSIGN(const double parameters, expect_parameters(context, step.model));
  // Decoding in batches reaches about half of the kernels' rate.
  const double rate = machine_flops() / 2;
  Forecast forecast;
  forecast.tokens = static_cast<int64_t>(made);
  forecast.seconds = 2 * parameters * (made + asked) / rate;
  forecast.basis = fmt::format("{:.0f} answers at {} FLOPs a second", answers, format_count(rate));
  return forecast;
}

}  // namespace

StepKind train_step() {
  return {"train", 1, {"examples", "base", "tokenizer", "flops_of"}, check_as<TrainStep>, forecast_train, run_train};
}
StepKind eval_step() { return {"eval", 1, {"tasks", "model"}, check_as<EvalStep>, forecast_eval, run_eval}; }

}  // namespace retort::app
