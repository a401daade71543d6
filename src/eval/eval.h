// Evaluation: a model answers tasks several times, retort::verify grades, and every figure comes with an interval.
// Order and bytes of the scores depend on the tasks, the options and the model only: not on concurrency, and not on how
// often the run was stopped and resumed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "base/options.h"
#include "base/result.h"
#include "model/generator.h"
#include "record/prompt.h"
#include "record/reject.h"
#include "record/score.h"
#include "record/stream.h"
#include "record/tally.h"
#include "verify/rule.h"

namespace retort::eval {

struct Options {
  std::string rule = "auto";
  int samples = 1;
  double temperature = 0.0;
  double top_p = 1.0;
  int top_k = 0;
  int max_tokens = 512;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  std::string system;
  std::string suffix;
  int limit = 0;
  int concurrency = 32;
  int retries = 5;

  template <class V>
  void fields(V&& v) {
    v("rule", rule,
      "how answers are judged: auto, number, text, contains, choice, date, regex, json or command (docs/answers.md)");
    v("samples", samples, "answers asked for each prompt", {.low = 1, .high = 1'000'000});
    v("temperature", temperature, "0: greedy", {.low = 0, .high = 100});
    v("top_p", top_p, "nucleus sampling: share of probability kept", {.high = 1, .above = 0});
    v("top_k", top_k, "tokens kept; 0: all", {.low = 0});
    v("max_tokens", max_tokens, "tokens an answer may have", {.low = 1});
    v("seed", seed, "of the samples; each draws from its own stream of (seed, prompt, sample)");
    v("stop", stop, "texts that end an answer");
    v("system", system, "system message put before each prompt");
    v("suffix", suffix, "text put after each prompt's last message");
    v("limit", limit, "prompts used of each task file; 0: all", {.low = 0});
    v("concurrency", concurrency, "requests in flight", {.how = true, .low = 1, .high = 65536});
    v("retries", retries, "times a request that found the model away is sent again",
      {.how = true, .low = 0, .high = 1000});
  }
};

// Errors: Invalid, naming the option.
Status check(const Options& options);

// What a run may be given besides its records.
struct Context {
  // Append-only file of the scores so far. Where it holds scores of the same options, model and prompts, these are not
  // computed again; one of another run is kept beside it as <partial>.old. "": no resuming. The caller removes it when
  // the scores are safe elsewhere.
  std::string partial;
  std::string identity;  // of the weights, where the generator's name does not tell models apart
  Cancel cancel;
  // A Limit is the cap's or the account's, not one prompt's fault (as of a prompt that is too long here): it ends the
  // run.
  bool limit_ends = false;
  std::function<void(int64_t done, int64_t total)> progress;  // may be empty; called from the caller's thread
  std::function<void(const std::string&)> hint = {};          // may be empty; told where the rule looks too strict
};

// Runs the stage; kept records come by prompt, then sample. A question that comes again is rejected ("duplicate").
// Prompts without a reference answer are rejected
// ("no_reference"), as are those the model refuses to take ("refused", as for an over-long prompt). Closes neither
// sink. `limit` is applied by whoever opens the files. Errors: Invalid (options, one id for two questions), Unavailable
// (after the retries), Limit (where `limit_ends`), Cancelled, and what source and sinks return.
Result<Tally> run(const Options& options, Source<Prompt>& prompts, Sink<Score>& kept, Sink<Reject>& dropped,
                  model::Generator& generator, Env& env, Context context = {});

// Grades one answer: fills pred, correct and how of `score` from its gold and content. `question` is for checkers.
verify::Judgement grade(Score& score, const verify::Rule& rule, std::string_view question);

}  // namespace retort::eval
