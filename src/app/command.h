// Command: one verb of the program. cmd_<verb>.cc defines it, main.cc lists it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/json.h"
#include "base/options.h"
#include "base/result.h"

namespace retort::app {

struct Command {
  const char* name;     // "serve"
  const char* summary;  // one line for `retort --help`
  // Adds flags to `cli`; returns what runs after they were parsed. Its value is the exit status (0, or 1 for a "no").
  std::function<Result<int>()> (*define)(CLI::App& cli);
};

// Flags for every leaf of an Options struct: `--samples 4`, `--optimizer.lr 3e-4` (underscores may be written as
// dashes), and `--set a.b=c`, `--config FILE` (YAML). load() overwrites `options` with the file, then --set, then the
// flags.
class OptionFlags {
 public:
  template <class O>
  OptionFlags(CLI::App& cli, const O& options) : state_(std::make_shared<State>()) {
    std::vector<OptionField> fields;
    list_options(options, fields);
    attach(cli, fields);
  }
  template <class O>
  Status load(O& options) const {
    RETORT_ASSIGN(const Json given, collected());
    return load_options(options, given);
  }

 private:
  struct State {
    Json flags = Json::object();
    std::vector<std::string> sets;
    std::string config;
  };
  void attach(CLI::App& cli, const std::vector<OptionField>& fields);
  Result<Json> collected() const;
  std::shared_ptr<State> state_;
};

}  // namespace retort::app
