// `retort eval`: a model on tasks, two models side by side, or two files of scores compared.
#include <filesystem>

#include <fmt/core.h>

#include "app/command.h"
#include "app/eval_files.h"
#include "app/open_model.h"
#include "base/cancel.h"
#include "net/curl_transport.h"
#include "wire/api_generator.h"

namespace retort::app {
namespace {

struct State {
  std::string model, against, endpoint, key_file, out;
  std::vector<std::string> tasks, compare;
  int threads = 0;
  bool json = false;
};

Result<eval::Summary> evaluate(const State& state, EvalJob job, const std::string& model) {
  job.cancel = process_cancel();
  if (!state.endpoint.empty()) {
    Secret key;
    if (!state.key_file.empty()) {
      RETORT_ASSIGN(const std::string text, system_env().read_file(state.key_file));
      key = Secret(std::string(trim(text)));
    }
    wire::ApiOptions options;
    options.base_url = state.endpoint;
    options.model = model;
    net::CurlTransport transport;
    wire::ApiGenerator generator(transport, options, std::move(key));
    job.identity = state.endpoint;
    return eval_files(job, generator, system_env());
  }
  infer::Options options;
  options.threads = state.threads;
  options.name = std::filesystem::path(model).lexically_normal().filename().string();
  if (options.name.empty()) options.name = std::filesystem::path(model).parent_path().filename().string();
  RETORT_ASSIGN(const auto engine, open_engine(model, options));
  RETORT_ASSIGN(job.identity, weights_identity(model, system_env()));
  return eval_files(job, *engine, system_env());
}

Result<std::string> scores_path(const std::string& given) {
  const std::string path = system_env().is_directory(given) ? given + "/scores.jsonl" : given;
  if (!system_env().exists(path))
    return fail(Code::NotFound, "{} does not exist; give the scores.jsonl that `retort eval` wrote", path);
  return path;
}

Status print_comparison(const std::vector<Score>& a, const std::vector<Score>& b, bool json) {
  const std::vector<eval::Comparison> rows = eval::compare(a, b);
  if (rows.front().prompts == 0)
    return fail(Code::Invalid, "the two have no prompt in common ({} and {} scores); compare runs of the same tasks",
                a.size(), b.size());
  if (json) {
    for (const eval::Comparison& row : rows) fmt::print("{}\n", to_text(encode(row)));
  } else {
    fmt::print("{}", eval::table(rows));
  }
  return {};
}

Result<int> eval_command_run(const State& state, const OptionFlags& flags) {
  if (!state.compare.empty()) {
    if (state.compare.size() != 2)
      return fail(Code::Invalid, "--compare takes two files of scores, not {}", state.compare.size());
    RETORT_ASSIGN(const std::string first, scores_path(state.compare[0]));
    RETORT_ASSIGN(const std::string second, scores_path(state.compare[1]));
    RETORT_ASSIGN(const auto a, read_scores(first));
    RETORT_ASSIGN(const auto b, read_scores(second));
    RETORT_TRY(print_comparison(a, b, state.json));
    return 0;
  }
  if (state.model.empty() || state.tasks.empty() || state.out.empty())
    return fail(Code::Invalid, "eval needs --model, --tasks and --out, or --compare A B");
  EvalJob job;
  RETORT_TRY(flags.load(job.options));
  job.tasks = state.tasks;
  job.out = state.out;
  const auto show = [&](const eval::Summary& summary) {
    if (state.json)
      fmt::print("{}\n", to_text(encode(summary)));
    else
      fmt::print("{}\n", eval::table(summary));
  };
  RETORT_ASSIGN(const eval::Summary summary, evaluate(state, job, state.model));
  show(summary);
  if (state.against.empty()) return 0;

  EvalJob other = job;
  other.out = state.out + "/against";
  RETORT_ASSIGN(const eval::Summary second, evaluate(state, other, state.against));
  show(second);
  RETORT_ASSIGN(const auto a, read_scores(other.out + "/scores.jsonl"));
  RETORT_ASSIGN(const auto b, read_scores(job.out + "/scores.jsonl"));
  RETORT_TRY(print_comparison(a, b, state.json));
  Json rows = Json::array();
  for (const eval::Comparison& row : eval::compare(a, b)) rows.push_back(encode(row));
  RETORT_TRY(system_env().write_file(state.out + "/comparison.json", rows.dump(1) + "\n"));
  return 0;
}

}  // namespace

Command eval_command() {
  return {
      "eval", "grade a model on tasks, with intervals; compare two with a paired test",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        auto state = std::make_shared<State>();
        cli.add_option("--model", state->model, "the model: a path, or with --endpoint its name there")
            ->type_name("MODEL");
        cli.add_option("--against", state->against, "a second model (A of the comparison; --model is B)")
            ->type_name("MODEL");
        cli.add_option("--endpoint", state->endpoint, "OpenAI-compatible API that serves the models")->type_name("URL");
        cli.add_option("--key-file", state->key_file, "file that holds the API's key")->type_name("FILE");
        cli.add_option("--tasks", state->tasks, "JSONL of prompts with answers (repeatable)")
            ->delimiter(',')
            ->type_name("FILE");
        cli.add_option("--out", state->out, "folder for scores.jsonl, rejects.jsonl, tally.json and summary.json")
            ->type_name("DIR");
        cli.add_option("--compare", state->compare, "two files of scores: prints the paired test, runs nothing")
            ->expected(2)
            ->type_name("A B");
        cli.add_option("--threads", state->threads, "threads of a local model; 0: those the process may use");
        cli.add_flag("--json", state->json, "write summaries and comparisons as JSON, one object a line");
        const OptionFlags flags(cli, eval::Options{});
        return [state, flags]() { return eval_command_run(*state, flags); };
      }};
}

}  // namespace retort::app
