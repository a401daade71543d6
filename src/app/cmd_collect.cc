// `retort collect`: prompts to a teacher over HTTP, or published reasoning from a file, into traces. The folder --out
// gets traces.jsonl, rejects.jsonl and tally.json when all is done, and the store and the cost book from the start.
#include <cstdlib>

#include <fmt/core.h>

#include "app/command.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/text.h"
#include "collect/collect.h"
#include "collect/import.h"
#include "ledger/cost_book.h"
#include "ledger/price.h"
#include "net/curl_transport.h"
#include "wire/api_generator.h"

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
  const char* value = std::getenv(a.key_variable.c_str());
  return Secret(value == nullptr ? "" : value);
}

// The three files of a finished collection.
struct Output {
  std::string folder;
  std::unique_ptr<Sink<Trace>> traces;
  std::unique_ptr<Sink<Reject>> rejects;

  static Result<Output> create(const std::string& folder, Env& env) {
    RETORT_TRY(env.make_directories(folder));
    Output out;
    out.folder = folder;
    RETORT_ASSIGN(out.traces, create_jsonl<Trace>(folder + "/traces.jsonl", env));
    RETORT_ASSIGN(out.rejects, create_jsonl<Reject>(folder + "/rejects.jsonl", env));
    return out;
  }
  Status close(const Tally& tally, Env& env) {
    RETORT_TRY(rejects->close());
    RETORT_TRY(traces->close());
    return env.write_file(folder + "/tally.json", to_text(encode(tally)) + "\n");
  }
};

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

Result<int> run_import(const Arguments& a, const collect::Options& options, Env& env) {
  RETORT_ASSIGN(const auto permission,
                collect::load_permission(a.permission, std::string(collect::kImportEndpoint), env));
  RETORT_ASSIGN(auto rows, open_jsonl<collect::Row>(a.import));
  RETORT_ASSIGN(auto out, Output::create(a.out, env));
  collect::ImportOptions import;
  import.format = a.format;
  import.system = options.system;
  import.task = a.task;
  import.limit = options.limit;
  auto tally = collect::run_import(import, permission, *rows, *out.traces, *out.rejects, env);
  if (!tally.ok()) return within(a.import, std::move(tally).error());
  RETORT_TRY(out.close(*tally, env));
  report(*tally, a);
  return 0;
}

Status book_costs(const std::string& folder, const std::string& model, Env& env) {
  RETORT_ASSIGN(auto log, store::AttemptLog::open_read_only(folder + "/collect.sqlite", env));
  RETORT_ASSIGN(const auto rows, collect::cost_rows(log, "collect", model));
  return ledger::append_costs(folder + "/costs.jsonl", rows, env);
}

Result<int> run_collect(const Arguments& a, const collect::Options& options, Env& env) {
  if (a.prompts.empty()) return fail(Code::Invalid, "give --prompts FILE to ask a teacher, or --import FILE");
  if (options.endpoint.empty()) return fail(Code::Invalid, "give --endpoint URL, the teacher's address up to /v1");
  if (options.model.empty()) return fail(Code::Invalid, "give --model NAME, the model's name at {}", options.endpoint);
  if (a.prices.empty())
    return fail(Code::Invalid,
                "give --prices FILE, a YAML map: `{}: {{input: 2.50, output: 10.00}}` (dollars per million "
                "tokens)",
                options.model);
  RETORT_ASSIGN(const auto permission, collect::load_permission(a.permission, options.endpoint, env));
  RETORT_ASSIGN(const auto prices, ledger::load_prices(a.prices, env));
  RETORT_ASSIGN(const auto price, ledger::price_of(prices, options.model, a.prices));
  RETORT_ASSIGN(Secret key, api_key(a, env));
  RETORT_ASSIGN(auto prompts, open_jsonl<Prompt>(a.prompts));
  RETORT_ASSIGN(auto out, Output::create(a.out, env));

  net::CurlOptions curl;
  curl.ca_file = a.ca_file;
  net::CurlTransport transport(curl);
  wire::ApiOptions api;
  api.base_url = options.endpoint;
  api.model = options.model;
  api.stream = !a.no_stream;
  api.max_completion_tokens = a.max_completion_tokens;
  wire::ApiGenerator teacher(transport, api, std::move(key));

  collect::Place place;
  place.store = a.out + "/collect.sqlite";
  place.cancel = process_cancel();
  auto tally = collect::run(options, place, permission, price, *prompts, *out.traces, *out.rejects, teacher, env);
  const Status booked = env.exists(place.store) ? book_costs(a.out, options.model, env) : Status();
  if (!tally.ok()) return std::move(tally).error();
  RETORT_TRY(booked);
  RETORT_TRY(out.close(*tally, env));
  report(*tally, a);
  return 0;
}

}  // namespace

Command collect_command() {
  return {"collect", "Ask a teacher, within a budget, or import published reasoning: prompts to traces",
          [](CLI::App& cli) -> std::function<Result<int>()> {
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
              return a->import.empty() ? run_collect(*a, options, system_env()) : run_import(*a, options, system_env());
            };
          }};
}

}  // namespace retort::app
