// OpenAI's chat completion and completion API as values and JSON: requests read for the server and the teacher, written
// for the client; responses, stream chunks and errors the other way round. Follows OpenAI's API reference; extensions
// that others share: `reasoning_content` (DeepSeek, vLLM), `top_k`, `chat_template_kwargs` (vLLM). Whatever a request
// asks for that is not supported is refused by name, never ignored. No I/O, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "model/generator.h"
#include "model/think.h"

namespace retort::wire {

// OpenAI's error object with its HTTP status.
struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;  // the member at fault, "" for null
  std::string code;   // "unsupported_parameter", "context_length_exceeded", ... or "" for null
};
// {"error": {...}}. Message and param are cut where they are long: they may quote what a client sent.
Json encode(const ApiError& error);
// Reads an error body of any compatible server: {"error": {...}}, {"error": "text"}, {"message"}, {"detail"}; the first
// bytes of anything else.
ApiError decode_error(int status, std::string_view body);

// Values in the JSON of a response, at most: what a body of any size may take in memory is bounded by it.
inline constexpr size_t kMaxAnswerValues = 1u << 20;

// A request as the server and the teacher read it.
struct ApiCall {
  bool chat = true;                      // /v1/chat/completions, else /v1/completions
  std::string model;                     // as the client named it
  std::vector<model::Request> requests;  // one; for completions one a prompt
  bool stream = false;
  bool include_usage = false;  // stream_options
  bool echo = false;           // completions only
  bool no_completion = false;  // completions with max_tokens 0: the prompt is scored; one token is made and not shown
};

// Values of a request's body: 128 prompts of token ids that fill a context of 16,384 pass.
inline constexpr size_t kMaxRequestValues = 1u << 21;
// Reads a request body into `call`, starting from `defaults` for the sampling knobs that the client leaves out.
// nullopt: fine. Otherwise the 400 to answer, with the member named in `param`. Prompts times n are held to
// `max_choices` before a prompt is copied, and so are the texts that each choice gets a copy of.
std::optional<ApiError> parse_chat(const Json& body, const model::Sampling& defaults, ApiCall& call,
                                   int max_choices = 128);
std::optional<ApiError> parse_completion(const Json& body, const model::Sampling& defaults, ApiCall& call,
                                         int max_choices = 128);

// What every response of one call shares.
struct ResponseHead {
  std::string id;       // "chatcmpl-..." or "cmpl-..."
  int64_t created = 0;  // seconds since 1970
  std::string model;
};

// Whole responses. Log-probabilities are written where the call asked for them.
Json chat_response(const ResponseHead& head, const model::Reply& reply, const ApiCall& call);
// `replies` by prompt; choice indices run through all of them. With `echo` the prompt comes first in text and tokens.
Json completion_response(const ResponseHead& head, const std::vector<model::Reply>& replies, const ApiCall& call);

// Stream chunks of a chat: role first, then deltas, then the finish reason, then (include_usage) the usage. `index` is
// the choice's in the response.
Json chat_chunk_role(const ResponseHead& head, int index);
Json chat_chunk(const ResponseHead& head, int index, const model::Delta& delta, bool logprobs);
Json chat_chunk_finish(const ResponseHead& head, int index, const std::string& finish_reason);
// Stream chunks of a completion. `text_offset`: where the delta begins in the choice's text, in characters.
Json completion_chunk(const ResponseHead& head, int index, const model::Delta& delta, bool logprobs,
                      int64_t text_offset);
Json completion_chunk_finish(const ResponseHead& head, int index, const std::string& finish_reason);
// The last chunk of either kind.
Json chunk_usage(const ResponseHead& head, bool chat, const Usage& usage);

Json models_response(const std::vector<std::string>& names, int64_t created);
Json encode_usage(const Usage& usage);

// The client's side. Body of a chat request (messages) or a completion (prompt, prompt_ids), for `model`.
struct EncodeOptions {
  bool stream = false;
  bool max_completion_tokens = false;  // the newer name of max_tokens, which OpenAI's reasoning models demand
  Json extra;                          // members to add or overwrite (a null removes), null where none
};
Json encode_request(const model::Request& request, const std::string& model, const EncodeOptions& options);
// A whole response of either kind. Errors: Unavailable for a body that is not one.
Result<model::Reply> decode_response(const Json& body);

// What a response says that it used. Where it says so more than once (chunks of a stream), the most of each count;
// where any of them is no count (negative, a fraction, a text, over kMaxCount), nothing: the payer then books its worst
// case.
class UsageReader {
 public:
  void read(const Json& body);  // its `usage`, where there is one
  Usage usage() const { return absurd_ ? Usage() : most_; }

 private:
  Usage most_;
  bool absurd_ = false;
};

// A streamed response of either kind, put together chunk by chunk. Inline <think> becomes reasoning as it arrives.
class StreamDecoder {
 public:
  // Takes one chunk and appends the deltas it holds to `out`. Errors: Unavailable for garbage.
  Status chunk(const Json& chunk, std::vector<model::Delta>& out);
  // True when `n` choices have come and each has its finish reason.
  bool complete(int n) const;
  bool empty() const { return parts_.empty(); }
  // Ends the stream: what the splitter of thoughts held back goes to `out`; returns the reply. A choice without a
  // finish reason gets "unknown". Call once.
  model::Reply finish(std::vector<model::Delta>& out);

 private:
  struct Part {
    model::Choice choice;
    model::ThinkSplitter splitter;
    bool own_reasoning = false;  // the API parts the thought itself
    bool thinking = false;       // and is within it
    bool chat = true;
  };
  Part& part(int index);
  void append(Part& part, model::Delta delta, std::vector<model::Delta>& out);
  std::map<int, Part> parts_;
  std::string model_;
  UsageReader usage_;
};

}  // namespace retort::wire
