// Generator: messages in; tokens, text, reasoning and log-probabilities out. The seam between stages and whatever
// answers: the engine (infer), a teacher's API (wire), a scripted fake (tests).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/json.h"
#include "base/result.h"
#include "record/message.h"
#include "record/trace.h"

namespace retort::model {

struct Sampling {
  double temperature = 1.0;  // 0 is greedy: the largest logit, the lowest id among equals
  double top_p = 1.0;
  int top_k = 0;                  // 0: off
  std::optional<uint64_t> seed;   // absent: drawn by the generator; draws depend on (seed, choice index, position) only
  int max_tokens = 0;             // completion tokens; 0: as many as the context holds
  std::vector<std::string> stop;  // the text ends before the first of these
};

struct Request {
  // Exactly one of the next three is used, the first that is set.
  std::vector<int32_t> prompt_ids;    // tokens as they are
  std::optional<std::string> prompt;  // raw text (completions API)
  std::vector<Message> messages;      // chat, rendered by the model's template
  Json template_variables;            // extra variables for the chat template (tools, enable_thinking), null where none
  Sampling sampling;
  int n = 1;                     // choices
  int top_logprobs = -1;         // -1: no log-probabilities; 0: of the sampled token; k: and of the k likeliest
  bool prompt_logprobs = false;  // also for the prompt's tokens (`echo`)
  std::string user;              // passed on to an API, else unused
};

struct TokenChoice {
  int32_t id = -1;    // -1 where an API does not say
  std::string bytes;  // the token's bytes, which may be part of a UTF-8 sequence
  float logprob = 0;  // natural logarithm, under the full distribution at temperature 1 (before top-k and top-p)
};

struct Token : TokenChoice {
  std::vector<TokenChoice> top;  // likeliest first; empty where not asked
  // False for a special token that was generated: `bytes` is then its name ("<|im_end|>"), and no text holds it.
  bool is_text = true;
};

struct Choice {
  int index = 0;
  std::string text;       // as generated, thought and its marks included; the end token is not part of it
  std::string reasoning;  // the thought, marks removed; "" where there is none (always for `prompt` and `prompt_ids`)
  std::string content;    // the text without the thought
  std::string finish_reason;  // "stop", "length", "cancelled"; an API's other words are kept
  // Completion tokens, as many as usage counts: the end token that the model chose is the last, with its
  // log-probability like any other. Empty from an API that gives no log-probabilities.
  std::vector<Token> tokens;
};

struct Reply {
  std::string model;
  std::vector<Choice> choices;       // by index
  std::vector<Token> prompt_tokens;  // with prompt_logprobs; the first token's logprob is NaN
  Usage usage;
  std::string raw;  // response body as received; "" from a local model
};

// A piece of one choice as it is made. Concatenated pieces equal the choice's fields.
struct Delta {
  int index = 0;
  std::string reasoning;
  std::string content;
  std::string text;
  std::vector<Token> tokens;
};

struct Callbacks {
  std::function<void(const Delta&)> on_delta;  // may be empty; must not block
  std::function<void(Result<Reply>)> on_done;  // called exactly once
};

class Generator {
 public:
  virtual ~Generator() = default;
  // Queues the request and returns at once. Callbacks come from the generator's own thread, never from inside submit(),
  // one at a time for a request. A request that `cancel` stops ends with Cancelled. Thread-safe. A generator's
  // destructor ends what is queued with Cancelled before it returns. Never retries by itself: Unavailable carries
  // retry_after_ms, and the caller decides.
  virtual void submit(Request request, Callbacks callbacks, Cancel cancel) = 0;
  // The name used in scores and API responses.
  virtual std::string name() const = 0;
};

// submit() and wait. Not from a callback.
Result<Reply> generate(Generator& generator, Request request, Cancel cancel = {});

}  // namespace retort::model
