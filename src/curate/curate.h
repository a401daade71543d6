// Curation: from a teacher's traces to examples worth learning from. Each trace is checked alone (cut, looping, too
// long, leaking its maker's name), then with the other samples of its prompt (reference answer, majority vote, the
// teacher's own grading), then thinned (duplicates, surplus). Every trace leaves as a parent of an example or as a
// Reject; both come out in the order of the input.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "base/options.h"
#include "base/result.h"
#include "curate/card.h"
#include "curate/held_out.h"
#include "model/generator.h"
#include "record/example.h"
#include "record/reject.h"
#include "record/stream.h"
#include "record/tally.h"
#include "record/trace.h"

namespace retort::curate {

struct Options {
  std::string rule = "auto";
  bool vote = true;
  int min_votes = 2;
  double min_share = 0.5;
  double min_margin = 0.0;
  bool trust_unchecked = false;
  bool require_reasoning = false;
  bool answers_only = false;
  int max_per_prompt = 4;
  std::string prefer = "first";
  double near_duplicate = 0.9;
  int min_chars = 1;
  int max_chars = 100'000;
  int loop_repeats = 6;
  int loop_bytes = 160;
  double loop_share = 0.6;
  std::string identity = "mend";
  std::vector<std::string> identity_names;
  int exclude_ngram = 0;
  int grader_concurrency = 8;
  int grader_max_tokens = 1024;

  template <class V>
  void fields(V&& v) {
    v("rule", rule,
      "how answers are judged: auto, number, text, contains, choice, date, regex, json or command (docs/answers.md)");
    v("vote", vote, "without a reference, keep the answer that most samples of the prompt give");
    v("min_votes", min_votes, "samples that must agree for a vote to count", {.low = 1});
    v("min_share", min_share, "share of the answering samples that the winner must pass", {.low = 0, .high = 0.999999});
    v("min_margin", min_margin, "share by which the winner must lead the runner-up", {.low = 0, .high = 1});
    v("trust_unchecked", trust_unchecked, "keep what nothing can vouch for (no reference, no vote, no grader)");
    v("require_reasoning", require_reasoning, "drop traces without a visible thought");
    v("answers_only", answers_only, "keep the answers and leave the reasoning out (ablation)");
    v("max_per_prompt", max_per_prompt, "examples kept of one prompt; 0: all", {.low = 0});
    v("prefer", prefer, "which correct traces are kept first: first, shortest or longest",
      {.one_of = "first, shortest, longest"});
    v("near_duplicate", near_duplicate,
      "Jaccard similarity of word 3-grams within a prompt from which a trace is a duplicate; over 1: off",
      {.above = 0});
    v("min_chars", min_chars, "bytes of reasoning and content together, at least", {.low = 0});
    v("max_chars", max_chars, "bytes of reasoning and content together, at most", {.low = 0});
    v("loop_repeats", loop_repeats, "times a text must repeat its ending to count as looping", {.low = 2});
    v("loop_bytes", loop_bytes, "bytes that the repeated ending must cover to count as looping", {.low = 1});
    v("loop_share", loop_share, "share of repeated word 8-grams from which a text of 100 words counts as looping",
      {.above = 0});
    v("identity", identity, "what happens to a text that names its teacher: mend, drop or keep",
      {.one_of = "mend, drop, keep"});
    v("identity_names", identity_names, "further names of teachers and makers that must not appear");
    v("exclude_ngram", exclude_ngram,
      "words in a row shared with a held-out question that exclude a trace; 0: only equal questions",
      {.low = 0, .high = 1000});
    v("grader_concurrency", grader_concurrency, "grading requests in flight", {.how = true, .low = 1, .high = 65536});
    v("grader_max_tokens", grader_max_tokens, "tokens that a grading reply may have", {.low = 1});
  }
};

// Errors: Invalid, naming the option.
Status check(const Options& options);

// What a run may be given besides its records.
struct Context {
  HeldOut held_out;                                           // questions that must not be learned from
  Card* card = nullptr;                                       // filled with the counts of the run where not null
  Cancel cancel;                                              // ends the run with Cancelled
  std::function<void(int64_t done, int64_t total)> progress;  // may be empty; gradings done
  std::function<void(const std::string&)> hint = {};          // may be empty; told where the rule looks too strict
};

// Runs the stage. `grader` (may be null) is asked about prompts that neither reference nor vote decides. Closes neither
// sink. Memory: all traces. Errors: Invalid (options, a trace id seen twice), what the source, sinks and grader return,
// Cancelled.
Result<Tally> run(const Options& options, Source<Trace>& traces, Sink<Example>& kept, Sink<Reject>& dropped,
                  model::Generator* grader, Env& env, Context context = {});

}  // namespace retort::curate
