// The report of a run: gathers what the steps wrote into one JSON (report.json) and one self-contained page
// (report.html). It only reads; every figure in it is a step's own. Its members are specified in docs/formats.md.
#pragma once

#include <string>
#include <vector>

#include "app/pipeline.h"
#include "app/recipe.h"
#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort::app {

// Invalid where the recipe's `report` section names steps or labels that there are not.
Status check_report(const Recipe& recipe);

// The recipe's `report` section: {evals: [{step, label}], comparisons: [[label, label]], samples: 6}. Where it is
// absent every eval step is shown and each is compared with the first. `run` is the run facts (times, machine), kept in
// one member.
Result<Json> gather_report(const Recipe& recipe, const std::vector<StepReport>& steps, const std::string& out, Json run,
                           Env& env);

// Writes report.json and report.html into `out`.
Status write_report(const Json& report, const std::string& out, Env& env);

// The report's main figures as text for the terminal.
std::string report_text(const Json& report);

}  // namespace retort::app
