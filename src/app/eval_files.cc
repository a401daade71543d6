#include "app/eval_files.h"

#include <filesystem>
#include <memory>
#include <utility>

#include "base/hash.h"
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

}  // namespace

Result<eval::Summary> eval_files(const EvalJob& job, model::Generator& generator, Env& env) {
  if (job.tasks.empty())
    return fail(Code::Invalid, "no tasks given; name at least one JSONL file of prompts with answers");
  RETORT_ASSIGN(std::vector<Prompt> prompts, read_tasks(job));
  RETORT_TRY(env.make_directories(job.out));
  eval::Context context;
  context.partial = job.partial.empty() ? job.out + "/scores.partial.jsonl" : job.partial;
  context.identity = job.identity;
  context.cancel = job.cancel;
  std::unique_ptr<Progress> bar;
  context.progress = [&](int64_t done, int64_t total) {
    if (!bar) bar = std::make_unique<Progress>("eval", total, "answers");
    bar->update(done);
  };
  const std::string partial = context.partial;
  RETORT_ASSIGN(const auto kept, create_jsonl<Score>(job.out + "/scores.jsonl", env));
  RETORT_ASSIGN(const auto dropped, create_jsonl<Reject>(job.out + "/rejects.jsonl", env));
  VectorSource<Prompt> source(std::move(prompts));
  RETORT_ASSIGN(Tally tally, eval::run(job.options, source, *kept, *dropped, generator, env, std::move(context)));
  RETORT_TRY(kept->close());
  RETORT_TRY(dropped->close());
  tally.counts.erase("resumed");  // a fact of this run, not of its result: files are the same after an interruption
  RETORT_ASSIGN(const std::vector<Score> scores, read_scores(job.out + "/scores.jsonl"));
  eval::Summary summary = eval::summarise(scores);
  if (summary.model.empty()) summary.model = generator.name();
  RETORT_TRY(env.write_file(job.out + "/tally.json", to_text(encode(tally)) + "\n"));
  RETORT_TRY(env.write_file(job.out + "/summary.json", eval::encode(summary).dump(1) + "\n"));
  if (job.partial.empty()) RETORT_TRY(env.remove_all(partial));  // elsewhere its owner removes it
  return summary;
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
