// The step kinds that make or measure a model: train, eval.
#include <filesystem>

#include "app/eval_files.h"
#include "app/forecast.h"
#include "app/open_model.h"
#include "app/stamp.h"
#include "app/steps.h"
#include "app/train_files.h"
#include "base/folder.h"
#include "base/progress.h"
#include "base/text.h"
#include "ledger/cost_book.h"
#include "ledger/cost_model.h"
#include "model/model.h"
#include "record/stream.h"
#include "train/student.h"
#include "train/train.h"

namespace retort::app {
namespace {

std::string book_of(const StepContext& context) { return context.run_folder + "/costs.jsonl"; }

// The work's name in the cost book: the same for every try of it.
std::string run_name(const StepContext& context) { return context.id + "/" + context.clock->run(); }

// ---- train

constexpr const char* kTrainingFolder = "model.training";  // below work/: checkpoints
constexpr const char* kTrainFacts[] = {"train_log.jsonl", "train_report.json"};

Status train_model(StepContext& context, const TrainJob& job, const std::string& out) {
  std::unique_ptr<Progress> bar;
  const auto watch = [&](const train::Snapshot& s) {
    if (!bar) bar = std::make_unique<Progress>(context.id, s.tokens, "tokens");
    bar->update(s.tokens_done, fmt::format("step {}/{}, loss {:.4f}", s.row.step, s.steps, s.row.loss));
  };
  JobPlace place = place_of(context);
  place.out = out;
  RETORT_TRY(train_files(job, place, true, watch, context.env));
  if (bar) bar->finish();
  return {};
}

// Rows of the same run replace one another, so a step that was killed after booking may book again.
Status book_training(const StepContext& context, const std::string& method) {
  RETORT_ASSIGN(const Json report, read_train_report(context.work, context.env));
  std::vector<ledger::CostRow> rows(1);
  rows[0].stage = context.id;
  rows[0].run = run_name(context);
  rows[0].what = method;
  RETORT_ASSIGN(rows[0].tokens_in, get_int(report, "tokens", 0));
  RETORT_ASSIGN(rows[0].flops, get_double(report, "flops", 0));
  rows[0].seconds = context.clock->seconds();
  if (const Json* run = find(report, "run")) {
    RETORT_ASSIGN(const int64_t lost, get_int(*run, "lost_steps", 0));
    if (lost > 0) {
      rows.push_back(rows[0]);
      rows[1].state = "resumed";
      RETORT_ASSIGN(rows[1].tokens_in, get_int(*run, "lost_tokens", 0));
      RETORT_ASSIGN(rows[1].flops, get_double(*run, "lost_flops", 0));
      RETORT_ASSIGN(rows[1].seconds, get_double(*run, "lost_seconds", 0));
      rows[0].seconds = std::max(0.0, rows[0].seconds - rows[1].seconds);
    }
  }
  return ledger::append_costs(book_of(context), rows, context.env);
}

// Every step's row, those after the last checkpoint and those lost to it before included; once the weights are written,
// the report's sums.
Status train_used(const std::string& work, ledger::CostRow& row, Env& env) {
  for (const char* name : {"/train_report.json", "/model/train_report.json"}) {
    const auto text = env.read_file(work + name);
    const auto report = text.ok() ? parse_json(*text) : Result<Json>(text.error());
    if (!report.ok()) continue;
    const Json* run = find(*report, "run");
    RETORT_ASSIGN(row.tokens_in, get_int(*report, "tokens", 0));
    RETORT_ASSIGN(row.flops, get_double(*report, "flops", 0));
    RETORT_ASSIGN(const int64_t lost_tokens, get_int(run == nullptr ? Json() : *run, "lost_tokens", 0));
    RETORT_ASSIGN(const double lost_flops, get_double(run == nullptr ? Json() : *run, "lost_flops", 0));
    row.tokens_in += lost_tokens;
    row.flops += lost_flops;
    return {};
  }
  for (const char* name : {"/model.training/log.jsonl", "/model.training/lost.jsonl"}) {
    const auto text = env.read_file(work + name);
    if (!text.ok()) continue;
    for (const std::string_view line : split(*text, '\n')) {
      const auto json = parse_json(line);
      train::LogRow step;
      if (!json.ok() || !json->is_object() || !decode(*json, step).ok()) continue;  // the last may be torn
      row.tokens_in += step.tokens;
      row.flops += step.flops;
    }
  }
  return {};
}

// The report and the log as output of the step, without run facts, so that equal runs have equal bytes.
Status publish_report(const StepContext& context) {
  RETORT_ASSIGN(Json report, read_train_report(context.work, context.env));
  report.erase("run");
  RETORT_TRY(context.env.write_file(context.out + "/train_report.json", report.dump(2) + "\n"));
  RETORT_ASSIGN(const auto lines, open_lines(context.work + "/train_log.jsonl"));
  RETORT_ASSIGN(const std::vector<std::string> rows, read_all(*lines));
  std::string log;
  for (const std::string& line : rows) {
    RETORT_ASSIGN(Json row, parse_json(line));
    row.erase("seconds");
    log += to_text(row) + "\n";
  }
  return context.env.write_file(context.out + "/train_log.jsonl", log);
}

Status run_train(StepContext& context) {
  RETORT_ASSIGN(const TrainJob step, job_of<TrainJob>(context));
  Env& env = context.env;
  const std::string model = context.out + "/model", unfinished = context.work + "/model";
  // Each of these steps may have been the last before a kill.
  if (!env.exists(model) || !env.exists(context.work + "/train_report.json")) {
    const bool reported =
        env.exists(unfinished + "/train_report.json") || env.exists(context.work + "/train_report.json");
    if (!env.exists(unfinished) || !reported) RETORT_TRY(train_model(context, step, unfinished));
    for (const char* name : kTrainFacts) {
      if (env.exists(unfinished + "/" + name)) {
        RETORT_ASSIGN(const std::string text, env.read_file(unfinished + "/" + name));
        RETORT_TRY(env.write_file(context.work + "/" + name, text));
      }
    }
    for (const char* name : kTrainFacts) RETORT_TRY(remove_made(unfinished + "/" + name, env));
    RETORT_TRY(env.rename(unfinished, model));
  }
  // Checkpoints, and what a kill left of writing the model (model.tmp-...).
  RETORT_ASSIGN(const std::vector<std::string> names, env.list_directory(context.work));
  for (const std::string& name : names) {
    if (name == kTrainingFolder || name.starts_with("model.tmp-"))
      RETORT_TRY(remove_made(context.work + "/" + name, env));
  }
  RETORT_TRY(publish_report(context));
  return book_training(context, step.options.method);
}

// Mean tokens of the examples that a training is expected to see. A student from scratch has no tokenizer yet: one is
// learned from the sample, as it will be from all.
Result<MeanTokens> example_tokens(const StepContext& context, const TrainJob& step, const Expected& examples,
                                  const ExpectedModel& base) {
  if (!step.from_scratch || !step.tokenizer.empty()) {
    RETORT_ASSIGN(const TokenCounter counter,
                  TokenCounter::open(step.from_scratch ? step.tokenizer : base.text_from, context.env));
    return mean_tokens(examples, counter);
  }
  std::vector<Example> sample;
  for (const SampleText& text : examples.sample) {
    Example example;
    example.messages = {{"user", text.question, "", nullptr}};
    example.content = text.answer;
    sample.push_back(std::move(example));
  }
  MeanTokens mean;
  if (sample.empty()) return mean;
  RETORT_ASSIGN(const train::Student student, train::new_student(step.options, "", sample, context.env));
  for (const SampleText& text : examples.sample) {
    RETORT_ASSIGN(const auto question, student.maker.tokenizer.encode(text.question, false));
    RETORT_ASSIGN(const auto answer, student.maker.tokenizer.encode(text.answer, false));
    mean.question += static_cast<double>(question.size());
    mean.answer += static_cast<double>(answer.size());
  }
  constexpr double kFrame = 8;  // marks of turns and of the thought
  mean.question = mean.question / static_cast<double>(sample.size()) + kFrame;
  mean.answer /= static_cast<double>(sample.size());
  return mean;
}

Result<Forecast> forecast_train(const StepContext& context) {
  RETORT_ASSIGN(const TrainJob step, job_of<TrainJob>(context));
  const train::ScratchOptions& s = step.options.scratch;
  model::Config scratch;
  scratch.hidden_size = s.hidden;
  scratch.layers = s.layers;
  scratch.heads = s.heads;
  scratch.kv_heads = s.kv_heads;
  scratch.head_dim = s.hidden / std::max(1, s.heads);
  scratch.ffn_size = s.ffn;
  scratch.vocab_size = s.vocab_size;
  ExpectedModel student = model_of(scratch);
  if (!step.base.empty()) {
    RETORT_ASSIGN(student, expect_model(context, step.base));
    student.integer = false;
  }
  RETORT_ASSIGN(const Expected examples, expect_file(context, step.examples, 0));
  RETORT_ASSIGN(const MeanTokens mean, example_tokens(context, step, examples, student));
  double each = mean.question + mean.answer;
  if (step.options.max_length > 0) each = std::min(each, static_cast<double>(step.options.max_length));
  double tokens = examples.records * each * step.options.epochs;
  if (step.options.max_steps > 0) tokens = each * static_cast<double>(step.options.max_steps) * step.options.batch_size;
  const double passes = 6 * student.parameters;
  student.flops = passes * tokens;
  const auto other = context.expected.find(step.flops_of);
  if (step.options.max_flops > 0) student.flops = step.options.max_flops;
  if (other != context.expected.end()) {
    student.flops = other->second.model.flops;
  } else if (!step.flops_of.empty()) {
    if (const auto done = read_train_report(step.flops_of, context.env); done.ok()) {
      RETORT_ASSIGN(student.flops, get_double(*done, "flops", 0));
    }
  }
  if (step.options.max_steps > 0) student.flops = std::min(student.flops, passes * tokens);
  if (passes > 0) tokens = student.flops / passes;
  const Span operation = training_seconds(student);
  student.answer_tokens = mean.answer;
  Forecast forecast;
  forecast.tokens = static_cast<int64_t>(tokens);
  forecast.low = student.flops * operation.low;
  forecast.high = student.flops * operation.high;
  forecast.seconds = student.flops * operation.middle();
  forecast.basis = fmt::format("{:.0f} examples of {:.0f} tokens, {} FLOPs at {} a second", examples.records, each,
                               format_count(student.flops), format_count(1 / operation.middle()));
  Expected made;
  made.model = student;
  forecast.outputs["model"] = made;
  forecast.outputs[""] = made;
  return forecast;
}

// ---- eval

Status eval_used(const std::string& work, ledger::CostRow& row, Env& env) {
  if (env.exists(work + "/eval.sqlite")) return {};  // a paid API's: the store says what it used
  const auto text = env.read_file(work + "/scores.partial.jsonl");
  if (!text.ok()) return {};
  for (const std::string_view line : split(*text, '\n')) {
    const auto json = parse_json(line);
    Score score;
    if (!json.ok() || !json->is_object() || !decode(*json, score).ok()) continue;  // the first line is no score
    ++row.requests;
    row.tokens_out += score.tokens;
  }
  return {};
}

Status run_eval(StepContext& context) {
  RETORT_ASSIGN(const EvalJob step, job_of<EvalJob>(context));
  Env& env = context.env;
  RETORT_ASSIGN(const Evaluated done, eval_files(step, place_of(context), context.id, env));
  if (step.answerer.endpoint.empty() || step.answerer.access.prices == kFree) {  // else its store has booked
    ledger::CostRow row;
    row.stage = context.id;
    row.run = run_name(context);
    row.what = "eval";
    for (const eval::Summary* summary : {&done.model, done.against ? &*done.against : nullptr}) {
      if (summary == nullptr) continue;
      row.requests += summary->all.scores;
      row.tokens_out += static_cast<int64_t>(summary->all.mean_tokens * static_cast<double>(summary->all.scores));
    }
    row.flops = done.flops;
    row.seconds = context.clock->seconds();
    RETORT_TRY(ledger::append_costs(book_of(context), {row}, env));
  }
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
  RETORT_ASSIGN(const EvalJob step, job_of<EvalJob>(context));
  const bool api = !step.answerer.endpoint.empty();
  std::vector<std::string> models = {step.answerer.model};
  if (!step.against.empty()) models.push_back(step.against);
  Forecast forecast;
  for (const std::string& path : models) {
    ExpectedModel model;
    if (!api) {
      RETORT_ASSIGN(model, expect_model(context, path));
    }
    RETORT_ASSIGN(const TokenCounter counter, TokenCounter::open(model.text_from, context.env));
    double answers = 0, asked = 0;
    for (const std::string& file : step.tasks) {
      RETORT_ASSIGN(const Expected prompts, expect_file(context, file, step.options.limit));
      const double some = prompts.records * step.options.samples;
      answers += some;
      asked += some * mean_tokens(prompts, counter).question;
    }
    const AnswerTokens made = answer_tokens(model, step.options.max_tokens);
    const auto seconds = [&](double tokens) {
      if (api) return elsewhere_seconds(answers, tokens, step.options.concurrency);
      return answering_seconds(model, asked, answers * tokens, step.options.concurrency);
    };
    forecast.tokens += static_cast<int64_t>(answers * made.typical);
    forecast.seconds += seconds(made.typical).middle();
    forecast.low += seconds(made.low).low;
    forecast.high += seconds(made.high).high;
    if (api && step.answerer.access.prices != kFree) {
      RETORT_ASSIGN(const ledger::Price price, api_price(step.answerer.access, path, "", context.env));
      RETORT_ASSIGN(const UsdMicros cap, parse_usd(step.answerer.cap));
      const Usage usage{static_cast<int64_t>(asked), static_cast<int64_t>(answers * made.typical), 0};
      forecast.usd_micros = std::min(cap, forecast.usd_micros + ledger::charge(price, usage));
    }
    forecast.basis = fmt::format("{:.0f} answers of {:.0f} to {:.0f} tokens",
                                 answers * static_cast<double>(models.size()), made.low, made.high);
  }
  return forecast;
}

}  // namespace

StepKind train_step() {
  StepKind kind = kind_of<TrainJob>("train", 3);
  kind.forecast = forecast_train;
  kind.run = run_train;
  kind.books = true;
  kind.used = train_used;
  kind.set_aside = {kTrainingFolder};
  kind.outputs = {"model", "train_report.json", "train_log.jsonl"};
  return kind;
}

StepKind eval_step() {
  StepKind kind = kind_of<EvalJob>("eval", 2);
  kind.forecast = forecast_eval;
  kind.run = run_eval;
  kind.keep = {"eval.sqlite"};
  kind.books = true;
  kind.used = eval_used;
  kind.outputs = {"scores.jsonl",   "rejects.jsonl", "tally.json",     "summary.json",
                  "questions.json", "against",       "comparison.json"};
  return kind;
}

}  // namespace retort::app
