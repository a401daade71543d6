// What a collection is going to ask: one Item for each prompt and sample, with everything that decides its answer.
#pragma once

#include <string>
#include <vector>

#include "collect/collect.h"

namespace retort::collect {

struct Item {
  size_t prompt = 0;  // index into Plan::prompts
  int sample = 0;
  model::Sampling sampling;
  Json params;              // as recorded in the trace
  std::string params_hash;  // of params and messages
  UsdMicros reserve = 0;
  int64_t tokens = 0;  // that it may take, for a limit on tokens a minute
};

struct Plan {
  std::vector<Prompt> prompts;   // `system` put in
  std::vector<Item> items;       // by prompt, then sample
  std::vector<Reject> repeated;  // prompts whose question came before
};

// Errors: Invalid for options out of range and for one id for two questions.
Result<Plan> make_plan(const Options& options, const ledger::Price& price, Source<Prompt>& prompts);

// The record of a response.
Trace make_trace(const Prompt& prompt, const Item& item, const Permission& permission, const model::Reply& reply,
                 const std::string& raw_hash);

}  // namespace retort::collect
