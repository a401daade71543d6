// What a step has used that has not finished: nothing of it is in the cost book yet, because a step books at its end.
#pragma once

#include <optional>
#include <string>

#include "base/env.h"
#include "base/result.h"
#include "ledger/cost_book.h"

namespace retort::app {

// The row of the step in `folder` with its state still "unfinished"; nullopt where the step has finished, was never
// begun, or is of a kind whose own store says what it used (collect). Killed tries count up to their last note.
Result<std::optional<ledger::CostRow>> unfinished_row(const std::string& folder, Env& env);

}  // namespace retort::app
