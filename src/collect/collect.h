// The collector: prompts to a teacher, answers to traces. What it owes: a response that arrived is stored before it
// counts and is never bought twice; money is reserved before a request is sent and the cap is never passed; the traces
// of a run that was killed and resumed equal those of an untroubled one. It asks through model::Generator, one attempt
// a submit; retries are here, because here is the budget.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/env.h"
#include "base/money.h"
#include "base/options.h"
#include "base/result.h"
#include "collect/permission.h"
#include "ledger/cost_book.h"
#include "ledger/price.h"
#include "model/generator.h"
#include "record/prompt.h"
#include "record/reject.h"
#include "record/stream.h"
#include "record/tally.h"
#include "record/trace.h"
#include "store/attempt_log.h"

namespace retort::collect {

struct Options {
  std::string endpoint;
  std::string model;
  std::string cap;
  int samples = 4;
  std::optional<double> temperature = 0.7;
  std::optional<double> top_p = 1.0;
  int max_tokens = 2048;
  int64_t seed = -1;
  std::string extra_body;
  std::vector<std::string> headers;
  std::string system;
  int64_t limit = 0;
  int concurrency = 16;
  int requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t max_answer_bytes = 0;
  int max_attempts = 6;
  int max_busy = 100;
  int max_refused = 8;
  int backoff_ms = 500;
  int backoff_max_ms = 60'000;
  int drain_ms = 10'000;

  template <class V>
  void fields(V&& v) {
    v("endpoint", endpoint, "the teacher's API, up to and with /v1");
    v("model", model, "the model's name at that API");
    v("cap", cap, "dollars that this collection may spend, resumed runs included, such as 5.00", {.how = true});
    v("samples", samples, "answers asked for each prompt", {.low = 1, .high = 1'000'000});
    v("temperature", temperature, "sampling temperature; 0 is greedy; `unset`: left out, for models that refuse it",
      {.low = 0, .high = 100});
    v("top_p", top_p, "nucleus of the distribution that is sampled; 1 is all of it; `unset`: left out",
      {.high = 1, .above = 0});
    v("max_tokens", max_tokens, "most tokens of an answer, thought included; the worst case that is reserved",
      {.low = 1});
    v("seed", seed, "0 or more: each sample is sent with its own seed made of this; -1: none is sent", {.low = -1});
    v("extra_body", extra_body,
      "members added to each request, as JSON: {\"reasoning_effort\": \"high\"}; they count as part of the question");
    v("headers", headers,
      "headers added to each request, `Name: value`; a key is written `api-key: env:VARIABLE` or `api-key: file:PATH` "
      "and never shown");
    v("system", system, "a system message put before each prompt that has none");
    v("limit", limit, "only the first so many prompts; 0: all", {.low = 0});
    v("concurrency", concurrency, "requests in flight at most", {.how = true, .low = 1, .high = 65536});
    v("requests_per_minute", requests_per_minute, "requests sent within any minute, at most; 0: no such limit",
      {.how = true, .low = 0});
    v("tokens_per_minute", tokens_per_minute,
      "tokens of requests and answers within any minute, at most; what is under way counts in full; 0: no such limit",
      {.how = true, .low = 0});
    v("max_answer_bytes", max_answer_bytes,
      "of a response; 0: 1 MiB and 1 KiB for each of max_tokens, 64 MiB at most; a larger one is rejected", {.low = 0});
    v("max_attempts", max_attempts, "failed attempts after which a sample is rejected", {.low = 1});
    v("max_busy", max_busy, "times the teacher may say `later` (429) before a sample is rejected", {.low = 1});
    v("max_refused", max_refused,
      "refusals (400, 401, 403) in a row, or samples given up before any answer came, that end the run", {.low = 1});
    v("backoff_ms", backoff_ms, "pause after a first failure; doubles with each further one", {.how = true, .low = 0});
    v("backoff_max_ms", backoff_max_ms, "longest such pause", {.how = true, .low = 0});
    v("drain_ms", drain_ms, "after Ctrl-C: how long answers under way may still arrive", {.how = true, .low = 0});
  }
};

// Where the run keeps its state and who may stop it.
struct Place {
  std::string store;  // path of the attempt log (SQLite)
  Cancel cancel;
  // For tests: AttemptLog::on_step.
  std::function<Status(const char*)> on_step;
  // Where given, a run that ends early with something bought (the cap, a Cancel, a teacher that is away) puts that into
  // the sinks and returns its tally, with `unfinished` in it; why it ended is left here.
  std::optional<Error>* ended = nullptr;
};

// Every prompt id comes out as the parent of a trace or as a Reject. Kept traces are ordered by prompt, then sample.
// Errors: Invalid (options, permission, duplicate ids, a teacher that refuses); Unavailable (not one usable answer:
// nothing is rejected then, the next call asks again); Limit (the cap, or the teacher's
// quota): the message says what was spent and how to go on; Cancelled; Io and Corrupt of the store. After any of them
// the same call goes on where it stopped. Neither sink is closed. Rejects: "refused", "failed", "busy", "empty",
// "unusable" (an answer too large, or that no record can hold), each booked with what it cost.
Result<Tally> run(const Options& options, const Place& place, const Permission& permission, const ledger::Price& price,
                  Source<Prompt>& prompts, Sink<Trace>& kept, Sink<Reject>& dropped, model::Generator& teacher,
                  Env& env);

// What an ended attempt cost and whether it brought an answer; `record` is left to the caller. `reserved` is booked
// where the charge cannot be known: no usage is given, or one that cannot be (a count below 0 or over kMaxCount, no
// tokens for a prompt or for an answer that is there); the reply's usage is then set to nothing.
store::Outcome outcome_of(int64_t attempt, Result<model::Reply>& reply, UsdMicros reserved, const ledger::Price& price);

// Members that requests get beside those that retort sets: extra_body, and a null for each knob that is unset. Errors:
// Invalid where extra_body is no JSON object, or sets what the cap, the seeds or the reader of answers rest on.
Result<Json> extra_members(const Options& options);

// The spending in an attempt log as rows for the cost book: one run of the log may give rows "done", "failed" and
// "possibly charged". A row's run is `stage`/the log's id/number of the run in it; `model` is what was
// asked.
Result<std::vector<ledger::CostRow>> cost_rows(store::AttemptLog& log, const std::string& stage,
                                               const std::string& model);

// The most that a request for `messages` can cost: its bytes bound its tokens (a byte-level token is at least a byte),
// with room for what a template adds, and `extra_bytes` of other members.
UsdMicros worst_cost(const ledger::Price& price, const std::vector<Message>& messages, int max_tokens,
                     size_t extra_bytes = 0);

}  // namespace retort::collect
