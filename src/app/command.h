// Command: one verb of the program. cmd_<verb>.cc defines it, commands.cc lists it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/job.h"
#include "base/env.h"
#include "base/json.h"
#include "base/options.h"
#include "base/result.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace retort::app {

// A verb's flags and words, read by CLI11. Its header is kept out of this one: it adds five seconds of compile time to
// each file that includes it.
class CommandLine {
 public:
  // What else is known of a flag; each call returns the same one, as CLI11's do.
  class Added {
   public:
    explicit Added(CLI::Option* option) : option_(option) {}
    Added* operator->() { return this; }
    Added& required();
    Added& type_name(const std::string& name);  // FILE, DIR, ... in the help
    Added& delimiter(char between);             // several values in one word
    Added& expected(int least, int most);       // how many values it takes
    Added& expected(int count) { return expected(count, count); }
    Added& default_str(const std::string& text);  // the value where the flag stands alone
    Added& capture_default_str();                 // the help shows the value it has now
    Added& range(int64_t least, int64_t most);    // other values are refused
    Added& group(const std::string& name);        // "": works and is not listed
    Added& trigger_on_parse();                    // a function runs in the order of the words

   private:
    CLI::Option* option_;
  };

  explicit CommandLine(CLI::App& app) : app_(app) {}
  // `name` begins with "--", or is a word that stands alone. `into` must outlive the parsing.
  Added add_flag(const std::string& name, bool& into, const std::string& help);
  Added add_option(const std::string& name, std::string& into, const std::string& help);
  Added add_option(const std::string& name, int& into, const std::string& help);
  Added add_option(const std::string& name, int64_t& into, const std::string& help);
  Added add_option(const std::string& name, uint64_t& into, const std::string& help);
  Added add_option(const std::string& name, double& into, const std::string& help);
  Added add_option(const std::string& name, std::vector<std::string>& into, const std::string& help);
  // Calls `take` with each value given.
  Added add_option(const std::string& name, std::function<void(const std::string&)> take, const std::string& help);
  // Text below the list of flags in the help.
  void footer(const std::string& text);

 private:
  CLI::App& app_;
};

struct Command {
  const char* name;     // "serve"
  const char* summary;  // one line for `retort --help`
  // Adds flags to `cli`; returns what runs after they were parsed. Its value is the exit status (0, or 1 for a "no").
  std::function<Result<int>()> (*define)(CommandLine& cli);
};

// Flags for every leaf of an Options struct: `--samples 4`, `--optimizer.weight-decay 0.1` (dashes may be written as
// underscores), and `--set a.b=c`, `--config FILE` (YAML). load() overwrites `options` with the file, then --set, then
// the flags.
class OptionFlags {
 public:
  template <class O>
  OptionFlags(CommandLine& cli, const O& options) : state_(std::make_shared<State>()) {
    list_options(options, state_->fields);
    attach(cli);
  }
  template <class O>
  Status load(O& options) const {
    RETORT_ASSIGN(const Json given, collected());
    return named(load_options(options, given));
  }
  // The same error with options called by their flags: `max_tokens` in backticks becomes --max-tokens.
  Error named(Error error) const;
  template <class T>
  Result<T> named(Result<T> result) const {
    if (result.ok()) return result;
    return named(std::move(result).error());
  }

 private:
  struct State {
    std::vector<OptionField> fields;
    Json flags = Json::object();
    std::map<std::string, std::vector<std::string>> files;  // of options that name several
    std::vector<std::string> sets;
    std::string config;
  };
  void attach(CommandLine& cli);
  Result<Json> collected() const;
  std::shared_ptr<State> state_;
};

// How help shows an option: its type, and its text with the default.
std::string type_of(const OptionField& field);
std::string help_of(const OptionField& field);

// What `--help` of a verb says in place of its flags, where its first word asks for something else
// (`retort run --help KIND`).
std::optional<std::string> help_about(const std::string& verb, const std::string& word);

// "--max-tokens" of "max_tokens".
std::string flag_of(const std::string& option);

// The flags of a job, and what a verb does with it: load, check, do.
template <class J>
class JobFlags {
 public:
  explicit JobFlags(CommandLine& cli) : flags_(cli, J()) {}
  template <class Do>
  std::function<Result<int>()> run(Do work) const {
    return [self = *this, work]() -> Result<int> { return self.now(work); };
  }
  template <class Do>
  Result<int> now(Do work) const {
    J job;
    RETORT_TRY(flags_.load(job));
    RETORT_TRY(flags_.named(check_job(job, system_env())));
    return flags_.named(work(std::move(job)));
  }

 private:
  OptionFlags flags_;
};

// All verbs, in the order of --help: the flow first, then the parts anyone can check.
const std::vector<Command>& commands();

}  // namespace retort::app
