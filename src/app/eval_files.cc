#include "app/eval_files.h"

#include <filesystem>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "app/forecast.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"

namespace retort::app {

std::string task_of_file(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  for (const std::string_view end : {".zst", ".jsonl", ".json"})
    if (name.ends_with(end)) name.resize(name.size() - end.size());
  return name;
}

namespace {

Result<std::vector<Prompt>> read_tasks(const EvalJob& job) {
  std::vector<Prompt> prompts;
  for (const std::string& path : job.tasks) {
    RETORT_ASSIGN(auto source, open_jsonl<Prompt>(path));
    for (int taken = 0; job.options.limit <= 0 || taken < job.options.limit; ++taken) {
      RETORT_ASSIGN(std::optional<Prompt> prompt, source->next());
      if (!prompt) break;
      if (prompt->task.empty()) prompt->task = task_of_file(path);
      prompts.push_back(std::move(*prompt));
    }
  }
  return prompts;
}

// One model into `place.out`.
Result<eval::Summary> grade(const EvalJob& job, const JobPlace& place, std::vector<Prompt> prompts,
                            OpenAnswerer& answerer, Progress& bar, Env& env) {
  RETORT_ASSIGN(const Folder folder, Folder::hold(place.out, kEvalMark, env));
  RETORT_ASSIGN(const Folder work, Folder::hold(place.work, kEvalMark, env));
  eval::Context context;
  context.partial = place.work + "/scores.partial.jsonl";
  RETORT_ASSIGN(context.identity, answerer.identity(env));
  context.cancel = place.cancel;
  context.limit_ends = answerer.local() == nullptr;
  context.progress = [&](int64_t done, int64_t) { bar.update(done); };
  context.hint = [](const std::string& text) { log::warn("{}", text); };
  const std::string partial = context.partial;
  RETORT_ASSIGN(const auto kept, create_jsonl<Score>(place.out + "/scores.jsonl", env));
  RETORT_ASSIGN(const auto dropped, create_jsonl<Reject>(place.out + "/rejects.jsonl", env));
  VectorSource<Prompt> source(std::move(prompts));
  RETORT_ASSIGN(Tally tally,
                eval::run(job.options, source, *kept, *dropped, answerer.generator(), env, std::move(context)));
  if (tally.kept == 0) {
    if (tally.in == 0) return fail(Code::Invalid, "the tasks hold no prompt: {}", fmt::join(job.tasks, ", "));
    return fail(Code::Invalid, "none of {} prompts could be graded ({}); a task is a prompt with its `answer`",
                tally.in, reasons_text(tally));
  }
  RETORT_TRY(kept->close());
  RETORT_TRY(dropped->close());
  tally.counts.erase("resumed");  // a fact of this run, not of its result: files are the same after an interruption
  RETORT_ASSIGN(const std::vector<Score> scores, read_scores(place.out + "/scores.jsonl"));
  eval::Summary summary = eval::summarise(scores);
  if (summary.model.empty()) summary.model = answerer.generator().name();
  RETORT_TRY(env.write_file(place.out + "/tally.json", to_text(encode(tally)) + "\n"));
  RETORT_TRY(env.write_file(place.out + "/summary.json", eval::encode(summary).dump(1) + "\n"));
  if (place.work == place.out) RETORT_TRY(remove_made(partial, env));  // elsewhere its owner removes it
  RETORT_TRY(folder.seal({{"scores.jsonl", ""}, {"rejects.jsonl", ""}, {"tally.json", ""}, {"summary.json", ""}}));
  return summary;
}

std::string name_of_path(const std::string& path) {
  const auto normal = std::filesystem::path(path).lexically_normal();
  return normal.filename().empty() ? normal.parent_path().filename().string() : normal.filename().string();
}

}  // namespace

Status EvalJob::check(Env& env) const {
  RETORT_TRY(eval::check(options));
  if (!answerer.given()) return fail(Code::Invalid, "give `model`, the model to measure");
  return check_answerer(answerer, "", env);
}

Result<Evaluated> eval_files(const EvalJob& job, const JobPlace& place, const std::string& name, Env& env) {
  RETORT_ASSIGN(const Folder folder, Folder::hold(place.out, kEvalMark, env));
  RETORT_ASSIGN(const Folder work, Folder::hold(place.work, kEvalMark, env));
  RETORT_ASSIGN(const std::vector<Prompt> prompts, read_tasks(job));
  // An earlier comparison is not of the scores that come now.
  RETORT_TRY(remove_made(place.out + "/comparison.json", env));
  if (job.against.empty()) RETORT_TRY(remove_made(place.out + "/against", env));
  Evaluated out;
  const std::string store = place.work + "/eval.sqlite";
  // Both models' answers are bought within one cap and lie in one store.
  const auto measure = [&](const Answerer& who, const JobPlace& where,
                           const std::string& called) -> Result<eval::Summary> {
    Progress bar("eval", static_cast<int64_t>(prompts.size()) * job.options.samples, "answers");  // loading counts
    RETORT_ASSIGN(const auto answerer,
                  open_answerer(who, {.store = store, .name = called.empty() ? name_of_path(who.model) : called}, env));
    auto summary = grade(job, where, prompts, *answerer, bar, env);
    const Status booked = answerer->book(place.costs, place.stage, env);
    if (!summary.ok()) return summary;
    RETORT_TRY(booked);
    if (answerer->local() != nullptr)
      out.flops += 2.0 * model_of(answerer->local()->config).parameters * summary->all.mean_tokens *
                   static_cast<double>(summary->all.scores);
    return summary;
  };
  RETORT_ASSIGN(out.model, measure(job.answerer, place, name));
  if (job.against.empty()) return out;

  Answerer other = job.answerer;
  other.model = job.against;
  JobPlace beside = place;
  beside.out += "/against";
  beside.work += "/against";
  RETORT_ASSIGN(out.against, measure(other, beside, ""));
  RETORT_ASSIGN(const auto a, read_scores(beside.out + "/scores.jsonl"));
  RETORT_ASSIGN(const auto b, read_scores(place.out + "/scores.jsonl"));
  out.comparison = eval::compare(a, b);
  Json rows = Json::array();
  for (const eval::Comparison& row : out.comparison) rows.push_back(encode(row));
  RETORT_TRY(env.write_file(place.out + "/comparison.json", rows.dump(1) + "\n"));
  RETORT_TRY(folder.seal({{"comparison.json", ""}}));
  return out;
}

Result<std::vector<Score>> read_scores(const std::string& path) {
  RETORT_ASSIGN(const auto source, open_jsonl<Score>(path));
  return read_all(*source);
}

Result<std::string> weights_identity(const std::string& model, Env& env) {
  if (!env.is_directory(model)) return sha256_file(model);
  RETORT_ASSIGN(const std::vector<std::string> names, env.list_directory(model));
  Sha256 hash;
  for (const std::string& name : names) {
    const bool counts = name.ends_with(".safetensors") || name.ends_with(".json") || name.ends_with(".gguf") ||
                        name.ends_with(".jinja");
    if (!counts || env.is_directory(model + "/" + name)) continue;
    RETORT_ASSIGN(const std::string file, sha256_file(model + "/" + name));
    hash.update(name + " " + file + "\n");
  }
  return hash.finish();
}

}  // namespace retort::app
