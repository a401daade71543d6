// `retort eval`: a model on tasks, two models side by side, or two files of scores compared.
#include <fmt/core.h>

#include "app/command.h"
#include "app/eval_files.h"
#include "app/say.h"

namespace retort::app {
namespace {

Result<std::string> scores_path(const std::string& given) {
  const std::string path = system_env().is_directory(given) ? given + "/scores.jsonl" : given;
  if (!system_env().exists(path))
    return fail(Code::NotFound, "{} does not exist; give the scores.jsonl that `retort eval` wrote", path);
  return path;
}

void print_comparison(const std::vector<eval::Comparison>& rows, bool json) {
  if (!json) return say("{}", eval::table(rows));
  for (const eval::Comparison& row : rows) say("{}\n", to_text(encode(row)));
}

Result<int> compare(const std::vector<std::string>& files, bool json) {
  RETORT_ASSIGN(const std::string first, scores_path(files[0]));
  RETORT_ASSIGN(const std::string second, scores_path(files[1]));
  RETORT_ASSIGN(const auto a, read_scores(first));
  RETORT_ASSIGN(const auto b, read_scores(second));
  const std::vector<eval::Comparison> rows = eval::compare(a, b);
  if (rows.front().prompts == 0)
    return fail(Code::Invalid, "the two have no prompt in common ({} and {} scores); compare runs of the same tasks",
                a.size(), b.size());
  print_comparison(rows, json);
  return 0;
}

Result<int> evaluate(const EvalJob& job, const std::string& out, bool json) {
  RETORT_ASSIGN(const Evaluated done, eval_files(job, verb_place(out, "eval"), "", system_env()));
  const auto show = [&](const eval::Summary& summary) {
    say("{}\n", json ? to_text(encode(summary)) : eval::table(summary));
  };
  show(done.model);
  if (!done.against) return 0;
  show(*done.against);
  print_comparison(done.comparison, json);
  return 0;
}

}  // namespace

Command eval_command() {
  return {"eval", "grade a model on tasks, with intervals; compare two with a paired test",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            const auto out = std::make_shared<std::string>();
            const auto files = std::make_shared<std::vector<std::string>>();
            const auto json = std::make_shared<bool>(false);
            cli.add_option("--out", *out, "folder for scores.jsonl, rejects.jsonl, tally.json and summary.json")
                ->type_name("DIR REQUIRED");
            cli.add_option("--compare", *files, "two files of scores: prints the paired test, runs nothing")
                ->expected(2)
                ->type_name("A B");
            cli.add_flag("--json", *json, "write summaries and comparisons as JSON, one object a line");
            const JobFlags<EvalJob> flags(cli);
            return [=]() -> Result<int> {
              if (!files->empty()) return compare(*files, *json);
              return flags.now([&](const EvalJob& job) -> Result<int> {
                if (out->empty()) return fail(Code::Invalid, "eval needs --model, --tasks and --out, or --compare A B");
                return evaluate(job, *out, *json);
              });
            };
          }};
}

}  // namespace retort::app
