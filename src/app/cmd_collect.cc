// `retort collect`: prompts to a teacher over HTTP, or published reasoning from a file, into traces. The folder --out
// gets traces.jsonl, rejects.jsonl and tally.json when all is done, and the store and the cost book from the start.
#include <fmt/core.h>

#include "app/collect_files.h"
#include "app/command.h"
#include "app/steps.h"
#include "base/cancel.h"
#include "base/text.h"

namespace retort::app {
namespace {

struct Arguments {
  std::string prompts, import, format = "auto", task, permission, prices, out, key_file, ca_file;
  std::string key_variable = "RETORT_API_KEY";
  bool no_stream = false, max_completion_tokens = false, json = false;
};

Result<Secret> api_key(const Arguments& a, Env& env) {
  if (!a.key_file.empty()) {
    auto text = env.read_file(a.key_file);
    if (!text.ok()) return within("--key-file", std::move(text).error());
    const std::string key(trim(*text));
    if (key.empty()) return fail(Code::Invalid, "the key file {} is empty", a.key_file);
    return Secret(key);
  }
  return secret_from_environment(a.key_variable);
}

void report(const Tally& tally, const Arguments& a) {
  if (a.json) {
    fmt::print("{}\n", to_text(encode(tally)));
    return;
  }
  fmt::print("{} inputs, {} traces kept, {} rejected", tally.in, tally.kept, tally.dropped);
  for (const auto& [reason, count] : tally.reasons) fmt::print(", {} {}", count, reason);
  for (const auto& [what, count] : tally.counts) fmt::print("; {} {}", count, what);
  fmt::print("\n{}/traces.jsonl\n", a.out);
}

Result<int> run_collect(const Arguments& a, const collect::Options& options, Env& env) {
  CollectJob job;
  job.options = options;
  job.prompts = a.prompts;
  job.import = a.import;
  job.format = a.format;
  job.task = a.task;
  job.permission = a.permission;
  job.prices = a.prices;
  RETORT_ASSIGN(job.key, api_key(a, env));
  job.ca_file = a.ca_file;
  job.stream = !a.no_stream;
  job.max_completion_tokens = a.max_completion_tokens;
  job.out = job.work = a.out;
  job.costs = a.out + "/costs.jsonl";
  job.cancel = process_cancel();
  RETORT_ASSIGN(const Tally tally, collect_files(std::move(job), env));
  report(tally, a);
  return 0;
}

}  // namespace

Command collect_command() {
  return {"collect", "ask a teacher, within a budget, or import published reasoning: prompts to traces",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto a = std::make_shared<Arguments>();
            cli.add_option("--prompts", a->prompts, "prompts: JSON Lines (.zst too) or Parquet")->type_name("FILE");
            cli.add_option("--import", a->import, "published reasoning instead: JSON Lines (.zst too) or Parquet")
                ->type_name("FILE");
            cli.add_option("--format", a->format, "of --import: auto, gsm8k, sharegpt, messages, columns [auto]");
            cli.add_option("--task", a->task, "with --import: the task's name where rows give none");
            cli.add_option("--permission", a->permission, "the teacher's permission record (YAML)")->type_name("FILE");
            cli.add_option("--prices", a->prices, "price list (YAML: model to dollars per million tokens)")
                ->type_name("FILE");
            cli.add_option("--out", a->out,
                           "folder for traces.jsonl, rejects.jsonl, tally.json, collect.sqlite, "
                           "costs.jsonl")
                ->type_name("DIR")
                ->required();
            cli.add_option("--key-file", a->key_file, "file that holds the API key")->type_name("FILE");
            cli.add_option("--key-variable", a->key_variable,
                           "environment variable that holds the API key [RETORT_API_KEY]")
                ->type_name("NAME");
            cli.add_option("--ca-file", a->ca_file, "trusted certificate authorities (PEM)")->type_name("FILE");
            cli.add_flag("--no-stream", a->no_stream, "ask for whole responses in place of event streams");
            cli.add_flag("--max-completion-tokens", a->max_completion_tokens,
                         "send the limit under the newer name max_completion_tokens");
            cli.add_flag("--json", a->json, "write the tally as one JSON object");
            OptionFlags flags(cli, collect::Options());
            return [a, flags]() -> Result<int> {
              collect::Options options;
              RETORT_TRY(flags.load(options));
              return run_collect(*a, options, system_env());
            };
          }};
}

}  // namespace retort::app
