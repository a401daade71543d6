// `retort curate`: traces to examples, with a reason for each trace that is left out and a data card.
#include <fmt/core.h>

#include "app/command.h"
#include "app/curate_files.h"
#include "app/paid_generator.h"
#include "base/cancel.h"
#include "net/curl_transport.h"
#include "wire/api_generator.h"

namespace retort::app {
namespace {

struct State {
  std::vector<std::string> traces, exclude;
  std::string out, endpoint, model, key_file, prices, cap;
  bool json = false;
};

Result<int> curate_command_run(const State& state, const OptionFlags& flags) {
  CurateJob job;
  RETORT_TRY(flags.load(job.options));
  job.traces = state.traces;
  job.exclude = state.exclude;
  job.out = state.out;
  job.cancel = process_cancel();
  std::unique_ptr<net::CurlTransport> transport;
  std::unique_ptr<wire::ApiGenerator> api;
  std::unique_ptr<PaidGenerator> grader;
  if (!state.endpoint.empty()) {
    if (state.model.empty())
      return fail(Code::Invalid, "--grader-endpoint needs --grader-model NAME, the model's name at that API");
    Secret key;
    if (!state.key_file.empty()) {
      RETORT_ASSIGN(const std::string text, system_env().read_file(state.key_file));
      key = Secret(std::string(trim(text)));
    }
    if (state.prices.empty() || state.cap.empty())
      return fail(
          Code::Invalid,
          "--grader-endpoint needs --grader-prices FILE (YAML, `{}: {{input: 2.50, output: 10.00}}`, dollars per "
          "million tokens) and --grader-cap DOLLARS, the most that grading may spend",
          state.model);
    RETORT_ASSIGN(const auto prices, ledger::load_prices(state.prices, system_env()));
    RETORT_ASSIGN(const auto price, ledger::price_of(prices, state.model, state.prices));
    auto cap = parse_usd(state.cap);
    if (!cap.ok()) return within("--grader-cap", std::move(cap).error());
    RETORT_TRY(system_env().make_directories(state.out));
    wire::ApiOptions options;
    options.base_url = state.endpoint;
    options.model = state.model;
    transport = std::make_unique<net::CurlTransport>();
    api = std::make_unique<wire::ApiGenerator>(*transport, options, std::move(key));
    RETORT_ASSIGN(grader,
                  PaidGenerator::open(state.out + "/grader.sqlite", price, *cap, "--grader-cap", *api, system_env()));
    job.grader = grader.get();
  }
  const auto curated = curate_files(job, system_env());
  if (grader) {
    RETORT_ASSIGN(const auto rows, grader->cost_rows("curate"));
    const Status booked = ledger::append_costs(state.out + "/costs.jsonl", rows, system_env());
    if (curated.ok()) RETORT_TRY(booked);
  }
  if (!curated.ok()) return curated.error();
  const Tally& tally = *curated;
  if (state.json) {
    fmt::print("{}\n", to_text(encode(tally)));
    return 0;
  }
  fmt::print("{} traces: {} examples kept, {} traces dropped\n", tally.in, tally.kept, tally.dropped);
  for (const auto& [reason, count] : tally.reasons) fmt::print("  {:<14} {}\n", reason, count);
  for (const auto& [what, count] : tally.counts) fmt::print("  ({} {})\n", what, count);
  fmt::print("{}/data_card.md says more\n", job.out);
  return 0;
}

}  // namespace

Command curate_command() {
  return {"curate", "check traces and keep what is worth learning from",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto state = std::make_shared<State>();
            cli.add_option("--traces", state->traces, "JSONL of traces, as `retort collect` writes them (repeatable)")
                ->required()
                ->delimiter(',')
                ->type_name("FILE");
            cli.add_option("--exclude", state->exclude, "JSONL of prompts that must not be learned from (repeatable)")
                ->delimiter(',')
                ->type_name("FILE");
            cli.add_option("--out", state->out,
                           "folder for examples.jsonl, rejects.jsonl, tally.json and the data card; with a grader also "
                           "grader.sqlite and costs.jsonl")
                ->required()
                ->type_name("DIR");
            cli.add_option("--grader-endpoint", state->endpoint,
                           "OpenAI-compatible API that grades what nothing else decides")
                ->type_name("URL");
            cli.add_option("--grader-model", state->model, "the grader's name at that API")->type_name("NAME");
            cli.add_option("--grader-key-file", state->key_file, "file that holds the API's key")->type_name("FILE");
            cli.add_option("--grader-prices", state->prices, "price list (YAML: model to dollars per million tokens)")
                ->type_name("FILE");
            cli.add_option("--grader-cap", state->cap,
                           "dollars that grading may spend, resumed runs included, such as 1.00")
                ->type_name("DOLLARS");
            cli.add_flag("--json", state->json, "write the tally as one JSON object");
            const OptionFlags flags(cli, curate::Options{});
            return [state, flags]() { return curate_command_run(*state, flags); };
          }};
}

}  // namespace retort::app
