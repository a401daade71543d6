// Price list: what a teacher's tokens cost. A model that is not on it is refused, because a cap cannot be kept for an
// unknown price. The file is YAML, one map from model name to dollars per million tokens:
//
//   gpt-large:
//     input: 2.50
//     output: 10.00
//     cached_input: 1.25     # optional; default: input
//     reasoning: 10.00       # optional; default: output
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/env.h"
#include "base/money.h"
#include "base/result.h"
#include "record/trace.h"

namespace retort::ledger {

// Micro-dollars per million tokens.
struct Price {
  UsdMicros input = 0;
  UsdMicros output = 0;
  UsdMicros cached_input = 0;
  UsdMicros reasoning = 0;
};

using PriceList = std::map<std::string, Price>;

// Errors: Invalid with the line or the model and member at fault.
Result<PriceList> parse_prices(std::string_view yaml);
Result<PriceList> load_prices(const std::string& path, Env& env);
// Invalid for an unpriced model, with what to write where (`path` is only named).
Result<Price> price_of(const PriceList& prices, const std::string& model, const std::string& path);

// What `usage` costs, rounded up once. Negative counts are taken as 0, reasoning over completion as all of it.
UsdMicros charge(const Price& price, const Usage& usage);
// The most that a request can cost: `prompt_bound` and `max_tokens` are upper bounds of its tokens. Never below
// charge() of any usage within them.
UsdMicros worst_case(const Price& price, int64_t prompt_bound, int64_t max_tokens);

}  // namespace retort::ledger
