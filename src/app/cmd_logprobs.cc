// `retort logprobs --model M`: the log-probability of each token of a text, given those before it.
#include <cmath>
#include <iostream>

#include <fmt/core.h>

#include "app/command.h"
#include "app/open_model.h"
#include "app/say.h"
#include "base/cancel.h"
#include "base/text.h"
#include "infer/scorer.h"

namespace retort::app {
namespace {

// {text} or {ids} to ids. `text` gets the model's BOS where it has one.
Result<std::vector<int32_t>> ids_of(const Json& line, const model::Model& model) {
  const Json* text = find(line, "text");
  const Json* ids = find(line, "ids");
  if ((text == nullptr) == (ids == nullptr)) return fail(Code::Invalid, "give either \"text\" or \"ids\"");
  if (text != nullptr) {
    if (!text->is_string()) return fail(Code::Invalid, "\"text\" must be a string, not {}", text->type_name());
    return model.tokenizer.encode_prompt(text->get_ref<const std::string&>());
  }
  if (!ids->is_array()) return fail(Code::Invalid, "\"ids\" must be an array of integers, not {}", ids->type_name());
  std::vector<int32_t> out;
  for (const Json& id : *ids) {
    // Range is checked where the ids are used; here only that they are 32-bit.
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
      return fail(Code::Invalid, "\"ids\" holds {}, which is no token id", to_text(id));
    out.push_back(id.get<int32_t>());
  }
  return out;
}

Result<Json> scored(const Json& line, const ScoredModel& opened, int top_k) {
  RETORT_ASSIGN(const std::vector<int32_t> ids, ids_of(line, *opened.model));
  RETORT_ASSIGN(const auto scores, infer::score(opened.network, ids, top_k, process_cancel()));
  Json out = {{"ids", ids}, {"logprobs", Json::array()}};
  for (const infer::Score& score : scores) {
    out["logprobs"].push_back(std::isnan(score.logprob) ? Json(nullptr) : Json(score.logprob));
    if (top_k <= 0) continue;
    Json top = Json::array();
    for (const infer::TokenScore& one : score.top) top.push_back({{"id", one.id}, {"logprob", one.logprob}});
    out["top"].push_back(score.top.empty() ? Json(nullptr) : top);
  }
  return out;
}

struct Flags {
  std::string model, text;
  bool json = false;
  int top_k = 0, threads = 0;
};

Result<int> run(const Flags& flags) {
  if (flags.json == !flags.text.empty())
    return fail(Code::Invalid,
                "logprobs needs TEXT, or --json with {{\"text\"}} or {{\"ids\"}} lines on standard input");
  if (flags.top_k < 0) return fail(Code::Invalid, "--top-k {} is negative; 0 leaves the list out", flags.top_k);
  RETORT_ASSIGN(const ScoredModel opened, open_scored_model(flags.model, flags.threads));
  if (!flags.json) {
    RETORT_ASSIGN(const Json out, scored({{"text", flags.text}}, opened, flags.top_k));
    for (size_t i = 0; i < out["ids"].size(); ++i) {
      const int32_t id = out["ids"][i].get<int32_t>();
      const Json& value = out["logprobs"][i];
      say("{:>8} {:>10} {}\n", id, value.is_null() ? "-" : fmt::format("{:.4f}", value.get<double>()),
          to_text(Json(to_utf8(opened.model->tokenizer.token_bytes(id)))));
    }
    return 0;
  }
  int64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    if (trim(line).empty()) continue;
    const auto where = fmt::format("standard input line {}", number);
    auto json = parse_json(line);
    if (!json.ok()) return within(where, std::move(json).error());
    auto out = scored(*json, opened, flags.top_k);
    if (!out.ok()) return within(where, std::move(out).error());
    say("{}\n", to_text(*out));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

Command logprobs_command() {
  return {
      "logprobs", "give the log-probabilities of tokens: {text} or {ids} to {ids, logprobs}",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        auto flags = std::make_shared<Flags>();
        cli.add_option("--model", flags->model, "a directory, a GGUF file or a Hugging Face cache path")->required();
        cli.add_flag("--json", flags->json, "read {text} or {ids} a line from standard input, write an object a line");
        cli.add_option("--top-k", flags->top_k, "also the k likeliest tokens at each place");
        cli.add_option("--threads", flags->threads, "threads; 0: those the process may use");
        cli.add_option("text", flags->text, "the text to score");
        return [flags] { return run(*flags); };
      }};
}

}  // namespace retort::app
