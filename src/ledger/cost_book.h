// Cost book: every token, second, operation and dollar that a run used, by stage, what failed included. Append-only
// JSON Lines (`costs.jsonl`; docs/formats.md). A row with the key (stage, run, what, state) of an earlier one replaces
// it, so booking is repeatable: a stage that died between its work and its row books again without counting twice.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/money.h"
#include "base/result.h"

namespace retort::ledger {

struct CostRow {
  std::string stage;  // "collect", "train", "eval", ...
  std::string run;    // which run or try of the stage: unique within the book
  std::string what;   // the model or the work: "gpt-large", "sft", ...
  // "done"; "failed": work or money without a usable result; "possibly charged": the outcome is not known, the worst
  // case is booked; "resumed": work done again after an interruption; "unfinished": of a step that has not booked yet
  // (never in a book: `retort cost` finds it in the step's folder).
  std::string state = "done";
  int64_t requests = 0;
  int64_t tokens_in = 0;
  int64_t tokens_out = 0;
  double flops = 0;
  double seconds = 0;
  UsdMicros usd_micros = 0;
};

Json encode(const CostRow& row);
Status decode(const Json& json, CostRow& out);

// Appends rows durably. Creates the book and its folder where absent.
Status append_costs(const std::string& path, const std::vector<CostRow>& rows, Env& env);
// All rows, later ones in place of earlier ones with the same key; a torn last line is left out. NotFound where absent.
Result<std::vector<CostRow>> read_costs(const std::string& path, Env& env);

// Sums by stage, in order of first appearance, with a total at the end named "total".
struct StageCost {
  std::string stage;
  int64_t requests = 0, tokens_in = 0, tokens_out = 0;
  double flops = 0, seconds = 0;
  UsdMicros usd_micros = 0;           // everything, the parts below included
  UsdMicros possibly_usd_micros = 0;  // "possibly charged"
  UsdMicros failed_usd_micros = 0;    // "failed"
  double failed_seconds = 0, resumed_seconds = 0;
  int64_t failed_requests = 0, resumed_requests = 0;
};
Json encode(const StageCost& cost);
std::vector<StageCost> by_stage(const std::vector<CostRow>& rows);

}  // namespace retort::ledger
