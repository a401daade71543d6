// Recipe: one YAML file, one reproducible run. It names steps; each step is a verb with options, and an option may
// refer to another step's output (`${collect}/traces.jsonl`) or to a value of the recipe's own `set` map (`${limit}`),
// which
// `--set limit=40` overrides. `--set <step>.<option>=<value>` overrides one option of one step.
//
//   name: quickstart
//   set: {limit: 0}
//   steps:
//     collect: {do: collect, prompts: "${problems}/train.jsonl", limit: "${limit}"}
//
// Non-goals: conditions and loops. A recipe is data.
#pragma once

#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort::app {

struct Step {
  std::string id;                  // unique: letters, digits, - and _
  std::string kind;                // "collect", "train", ...: its `do`
  Json options;                    // as written, values of `set` filled in; references to steps still as `${id}`
  std::vector<std::string> after;  // ids of the steps its options refer to, without repeats, in order of appearance
};

struct Recipe {
  std::string path;         // of the file
  std::string folder;       // of the file: relative paths in options start here
  std::string name;         // letters, digits, - and _
  std::string title;        // one line for the report
  Json set;                 // values in force
  std::vector<Step> steps;  // in an order in which every step stands after those it refers to
  Json report;              // what the report compares, null where absent
};

// Reads and checks a recipe. Errors: Invalid with the place: unknown keys (and the nearest known one), unknown
// `${names}`, circular references, a `--set` that fits nothing.
Result<Recipe> read_recipe(const std::string& path, const std::vector<std::string>& sets, Env& env);

// `text` with every `${step}` replaced by that step's folder below `out`.
std::string resolve_steps(const std::string& text, const Recipe& recipe, const std::string& out);

}  // namespace retort::app
