#include "app/prompt_files.h"

#include <cmath>

#include "app/eval_files.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"
#include "record/stream.h"

namespace retort::app {

Status ProblemsJob::check(Env&) const { return check_options(options); }

Result<Sides> problems_files(const ProblemsJob& job, const JobPlace& place, Env& env) {
  RETORT_ASSIGN(const Folder folder, Folder::hold(place.out, "problems", env));
  RETORT_ASSIGN(const tasks::ProblemSet set, tasks::generate(job.options));
  const auto write = [&](const std::vector<tasks::Problem>& problems, const std::string& name,
                         double without_answer) -> Status {
    RETORT_ASSIGN(const auto sink, create_jsonl<Prompt>(place.out + "/" + name + ".jsonl", env));
    Random random(job.options.seed, fnv1a(name));
    for (size_t i = 0; i < problems.size(); ++i) {
      RETORT_TRY(
          sink->put(tasks::to_prompt(problems[i], name, static_cast<int>(i), random.uniform() >= without_answer)));
    }
    return sink->close();
  };
  RETORT_TRY(write(set.train, "train", job.options.without_answer));
  RETORT_TRY(write(set.test, "test", 0));
  RETORT_TRY(folder.seal({{"train.jsonl", ""}, {"test.jsonl", ""}}));
  return Sides{static_cast<int64_t>(set.train.size()), static_cast<int64_t>(set.test.size())};
}

Status SplitJob::check(Env&) const { return check_options(options); }

Result<Sides> split_files(const SplitJob& job, const JobPlace& place, Env& env) {
  RETORT_ASSIGN(const Folder folder, Folder::hold(place.out, "split", env));
  std::vector<Prompt> prompts;
  for (const std::string& path : job.from) {
    RETORT_ASSIGN(const auto source, open_jsonl<Prompt>(path));
    RETORT_ASSIGN(auto read, read_all(*source));
    for (Prompt& prompt : read) {
      if (prompt.task.empty()) prompt.task = task_of_file(path);
      prompts.push_back(std::move(prompt));
    }
  }
  const size_t total = prompts.size();
  RETORT_ASSIGN(const PromptSplit sides, split_prompts(job.options, std::move(prompts)));
  const auto write = [&](const std::vector<Prompt>& side, const char* name) -> Status {
    RETORT_ASSIGN(const auto sink, create_jsonl<Prompt>(place.out + "/" + name, env));
    for (const Prompt& prompt : side) RETORT_TRY(sink->put(prompt));
    return sink->close();
  };
  const auto count = static_cast<double>(total), got = static_cast<double>(sides.train.size()) / count;
  if (const double asked = job.options.train_share; std::abs(got - asked) > 0.05 + 1 / count)
    log::warn(
        "train.jsonl got {} of {} prompts ({:.0f} %) where `train_share` asks for {:.0f} %: variants stay together, "
        "{} of them in one group; `shared_words` (now {}) says what a variant is",
        sides.train.size(), total, 100 * got, 100 * asked, sides.largest, job.options.shared_words);
  RETORT_TRY(write(sides.train, "train.jsonl"));
  RETORT_TRY(write(sides.test, "test.jsonl"));
  RETORT_TRY(folder.seal({{"train.jsonl", ""}, {"test.jsonl", ""}}));
  return Sides{static_cast<int64_t>(sides.train.size()), static_cast<int64_t>(sides.test.size())};
}

}  // namespace retort::app
