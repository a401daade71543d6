#include "wire/api_generator.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "base/env.h"
#include "base/text.h"
#include "net/sse.h"
#include "net/url.h"
#include "wire/openai.h"
#include "wire/redact.h"

namespace retort::wire {
namespace {

// The first words of a body for a message: one line, printable.
std::string first_bytes(std::string_view body) {
  constexpr size_t kMost = 200, kWord = 40;
  std::string_view first = body.substr(0, kMost);
  if (first.size() < body.size()) {
    const size_t end = first.find_last_of(" \t\r\n");
    first = first.substr(0, end != std::string_view::npos && end + kWord > kMost ? end : utf8_complete_prefix(first));
  }
  std::string shown = to_utf8(first) + (first.size() < body.size() ? " ..." : "");
  for (char& c : shown) {
    if (static_cast<uint8_t>(c) < ' ' || c == 0x7f) c = ' ';
  }
  return shown;
}

int64_t wait_of(const net::HttpResponse& response) {
  const std::string ms(net::header(response, "retry-after-ms"));  // OpenAI's and Azure's finer header
  if (!ms.empty() && ms.size() <= 8 && ms.find_first_not_of("0123456789") == std::string::npos)
    return std::min<int64_t>(std::stoll(ms), net::kMaxRetryAfterMs);
  return net::retry_after_ms(response, system_env().wall_us());
}

// What to set where a model takes no such member.
std::string advice(const ApiError& said) {
  const std::string words = lower_ascii(said.message);
  for (const char* name : {"temperature", "top_p"}) {
    if (said.param == name || words.find(name) != std::string::npos)
      return fmt::format("; set `{0}` to what the model takes, or to `unset`: it is then left out", name);
  }
  if (words.find("max_completion_tokens") != std::string::npos)
    return "; set `max_completion_tokens`: the limit is then sent under that name";
  return "";
}

// Bytes that an answer may have: events and JSON take a token to a few hundred bytes, log-probabilities to some more.
int64_t body_limit(const ApiOptions& options, const model::Request& request) {
  constexpr int64_t kFirst = 1 << 20, kToken = 1 << 10, kMost = 64 << 20;
  if (options.max_body_bytes > 0) return options.max_body_bytes;
  if (request.sampling.max_tokens <= 0) return kMost;
  return std::min(kMost, kFirst + int64_t{request.sampling.max_tokens} * request.n * kToken *
                                      std::max(request.top_logprobs + 2, 1));
}

// What a status that is not 2xx means for the caller.
Error refusal(const net::HttpResponse& response, const std::string& url, const std::string& model) {
  const int status = response.status;
  const ApiError said = decode_error(status, response.body);
  const std::string words = first_bytes(said.message);
  if (said.code == "insufficient_quota" || status == 402)
    return fail(Code::Limit, "{} answers {}: {}; the account has no credit left", url, status, words);
  if (status == 401 || status == 403)
    return fail(Code::Invalid, "{} answers {}: {}; check the API key and that it may use model `{}`", url, status,
                words, model);
  if (status == 408 || status == 409 || status == 425 || status == 429 || status >= 500) {
    Error error = fail(Code::Unavailable, "{} answers {}: {}", url, status, words);
    error.retry_after_ms = wait_of(response);
    // A gateway that lost its upstream cannot tell whether the work was done.
    error.maybe_charged = status == 408 || status == 502 || status == 504 || (status >= 520 && status <= 524);
    return error;
  }
  if (status >= 300 && status < 400)
    return fail(Code::Invalid, "{} answers {}, a redirect to `{}`; set base_url to where the API is", url, status,
                first_bytes(net::header(response, "location")));
  if (status == 404) return fail(Code::Invalid, "{} answers 404: {}; check base_url and model `{}`", url, words, model);
  return fail(Code::Invalid, "{} answers {}: {}{}{}", url, status, words,
              said.param.empty() ? "" : " (`" + first_bytes(said.param) + "`)", advice(said));
}

Error unusable(const std::string& url, std::string_view body, std::string_view why) {
  Error error = fail(Code::Unavailable, "{} sent {} ({} bytes, beginning `{}`); is base_url an OpenAI-compatible API?",
                     url, why, body.size(), first_bytes(body));
  error.maybe_charged = true;
  return error;
}

// One request under way. The transport's thread feeds it; the generator's destructor may end it first.
struct Exchange {
  Exchange(std::shared_ptr<const Redactor> keys, int64_t max_bytes)
      : redactor(std::move(keys)), limit(max_bytes), incoming(*redactor), sse(static_cast<size_t>(max_bytes)) {}

  const std::shared_ptr<const Redactor> redactor;
  const int64_t limit;
  std::mutex mutex;
  bool over = false;
  model::Callbacks callbacks;
  Cancel owner;
  std::string url, model;
  int n = 1;
  bool stream = false;
  // Of a stream:
  Redactor::Stream incoming;
  std::optional<bool> events;  // the body is an event stream, not JSON: known by its first byte
  net::SseParser sse;
  StreamDecoder decoder;
  bool done_mark = false;
  Status trouble;
  // Deltas join what the events cut: a key may show itself only there. By choice: text, reasoning, content.
  std::map<int, std::array<Redactor::Stream, 3>> shown;

  void event(const std::string& data) {
    if (!trouble.ok() || done_mark) return;
    if (trim(data) == "[DONE]") {
      done_mark = true;
      return;
    }
    auto json = parse_json(data, kMaxAnswerValues);
    if (!json.ok()) {
      trouble = unusable(url, data, "an event that is not JSON");
      return;
    }
    if (const Json* error = find(*json, "error"); error != nullptr && !error->is_null()) {
      const ApiError said = decode_error(200, data);
      Error bad = fail(Code::Unavailable, "{} ended its stream with an error: {}", url, first_bytes(said.message));
      if (said.code == "insufficient_quota") bad.code = Code::Limit;
      bad.maybe_charged = true;
      trouble = std::move(bad);
      return;
    }
    std::vector<model::Delta> deltas;
    if (Status status = decoder.chunk(*json, deltas); !status.ok()) {
      trouble = unusable(url, data, "an event that is no completion chunk");
      return;
    }
    show(deltas);
  }

  void show(const std::vector<model::Delta>& deltas) {
    if (!callbacks.on_delta) return;
    for (model::Delta delta : deltas) {
      const Redactor::Stream fresh(*redactor);
      auto& [text, reasoning, content] = shown.try_emplace(delta.index, std::array{fresh, fresh, fresh}).first->second;
      delta.text = text.feed(delta.text);
      delta.reasoning = reasoning.feed(delta.reasoning);
      delta.content = content.feed(delta.content);
      callbacks.on_delta(delta);
    }
  }
  // What the redactor held back.
  void show_rest() {
    for (auto& [index, streams] : shown) {
      model::Delta rest{index, streams[1].finish(), streams[2].finish(), streams[0].finish(), {}};
      if (!rest.text.empty() || !rest.reasoning.empty() || !rest.content.empty()) callbacks.on_delta(rest);
    }
  }

  // False once no more is wanted.
  bool feed(std::string_view bytes) {
    const std::string clean = incoming.feed(bytes);
    if (!events) {
      const size_t first = clean.find_first_not_of(" \t\r\n");
      if (first == std::string::npos) return true;
      events = clean[first] != '{';  // some servers answer whole though a stream was asked for
    }
    return !*events || parse(clean);
  }
  bool parse(std::string_view clean) {
    Status status = sse.feed(clean, [&](const net::SseEvent& e) { event(e.data); });
    if (!status.ok() && trouble.ok()) trouble = too_large();
    return trouble.ok() && !done_mark;
  }

  // Asking again would bring the same, so it is the request's fault; it may be billed in full.
  Error too_large() const {
    Error error = fail(Code::Invalid, "{}: the answer is larger than the {} bytes that are allowed for it", url, limit);
    error.maybe_charged = true;
    return error;
  }

  Result<model::Reply> result(Result<net::HttpResponse> response) {
    if (!response.ok()) {
      if (response.error().code == Code::Limit) return too_large();
      return std::move(response).error();
    }
    redactor->clean(response->body);
    for (auto& [name, value] : response->headers) redactor->clean(value);
    if (response->status < 200 || response->status >= 300) return refusal(*response, url, model);
    std::string& body = response->body;
    if (events.value_or(false) && !done_mark) parse(incoming.finish());
    if (!trouble.ok()) return trouble.error();
    if (stream && ((done_mark && !decoder.empty()) || decoder.complete(n))) return streamed(std::move(body));
    if (!stream || !events.value_or(true)) return whole_body(body);
    if (!sse.saw_field()) return unusable(url, body, body.empty() ? "an empty body" : "no event stream");
    Error cut = done_mark
                    ? fail(Code::Unavailable, "{}: the stream came to its [DONE] without an answer", url)
                    : fail(Code::Unavailable, "{}: the stream was cut after {} bytes, without finish_reason or [DONE]",
                           url, body.size());
    cut.maybe_charged = true;
    return cut;
  }

  Result<model::Reply> streamed(std::string body) {
    std::vector<model::Delta> deltas;
    model::Reply reply = decoder.finish(deltas);
    show(deltas);
    reply.raw = std::move(body);
    if (reply.model.empty()) reply.model = model;
    return reply;
  }

  Result<model::Reply> whole_body(const std::string& body) {
    const auto json = parse_json(body, kMaxAnswerValues);
    if (!json.ok()) return unusable(url, body, body.empty() ? "an empty body" : "a body that is not JSON");
    auto reply = decode_response(*json);
    if (!reply.ok()) return unusable(url, body, "JSON that is no completion");
    reply->raw = body;
    if (reply->model.empty()) reply->model = model;
    std::vector<model::Delta> deltas;
    for (const model::Choice& choice : reply->choices)
      deltas.push_back({choice.index, choice.reasoning, choice.content, choice.text, choice.tokens});
    show(deltas);
    return reply;
  }

  // The last look at what leaves: a key that no single piece of the body held.
  void clean(Result<model::Reply>& result) const {
    if (!result.ok()) {
      Error error = std::move(result).error();
      redactor->clean(error.message);
      result = std::move(error);
      return;
    }
    bool found = redactor->clean(result->model);
    for (model::Choice& choice : result->choices) {
      for (std::string* text : {&choice.text, &choice.reasoning, &choice.content, &choice.finish_reason})
        found = redactor->clean(*text) || found;
    }
    if (found) result->raw.clear();
  }
};

}  // namespace

struct ApiGenerator::State {
  net::Transport& transport;
  ApiOptions options;
  Secret key;
  Json extra;
  ExtraHeaders headers;
  std::shared_ptr<Redactor> redactor;
  std::mutex mutex;
  std::unordered_set<std::shared_ptr<Exchange>> active;  // guarded by mutex

  // Ends `x` with `result` unless it has ended.
  void end(const std::shared_ptr<Exchange>& x, Result<model::Reply> result) {
    model::Callbacks callbacks;
    {
      const std::lock_guard lock(x->mutex);
      if (x->over) return;
      x->over = true;
      callbacks = std::move(x->callbacks);
    }
    callbacks.on_done(std::move(result));
  }
};

ApiGenerator::ApiGenerator(net::Transport& transport, ApiOptions options, Secret key, Json extra, ExtraHeaders headers)
    : state_(new State{transport,
                       std::move(options),
                       std::move(key),
                       std::move(extra),
                       std::move(headers),
                       std::make_shared<Redactor>(),
                       {},
                       {}}) {
  state_->redactor->add(state_->key);
  for (const auto& [name, value] : state_->headers.secret) state_->redactor->add(value);
}

ApiGenerator::~ApiGenerator() {
  std::unordered_set<std::shared_ptr<Exchange>> left;
  {
    const std::lock_guard lock(state_->mutex);
    left.swap(state_->active);
  }
  for (const auto& x : left) {
    x->owner.request();
    Error error = fail(Code::Cancelled, "the API's client was closed");
    error.maybe_charged = true;
    state_->end(x, std::move(error));
  }
}

void ApiGenerator::submit(model::Request request, model::Callbacks callbacks, Cancel cancel) {
  const ApiOptions& options = state_->options;
  if (request.prompt_logprobs)
    return courier_.deliver(
        std::move(callbacks.on_done),
        fail(Code::Invalid, "log-probabilities of prompts are not asked of an API; use a local model"));
  const int64_t limit = body_limit(options, request);
  const auto x = std::make_shared<Exchange>(state_->redactor, limit);
  x->callbacks = std::move(callbacks);
  x->stream = options.stream;
  x->n = request.n;
  x->model = options.model;
  const bool chat = request.prompt_ids.empty() && !request.prompt;
  EncodeOptions how;
  how.stream = options.stream;
  how.max_completion_tokens = options.max_completion_tokens;
  how.extra = state_->extra;
  net::HttpRequest http;
  http.method = "POST";
  http.url = net::join_url(options.base_url, chat ? "chat/completions" : "completions");
  http.headers = {{"Content-Type", "application/json"},
                  {"Accept", options.stream ? "text/event-stream, application/json" : "application/json"}};
  http.bearer = state_->key;
  http.headers.insert(http.headers.end(), state_->headers.plain.begin(), state_->headers.plain.end());
  http.secret_headers = state_->headers.secret;
  http.body = to_text(encode_request(request, options.model, how));
  http.connect_timeout_ms = options.connect_timeout_ms;
  http.timeout_ms = options.timeout_ms;
  http.idle_timeout_ms = options.idle_timeout_ms;
  http.max_body_bytes = limit;
  http.owner = x->owner;
  const auto url = net::parse_url(http.url);
  if (!url.ok()) return courier_.deliver(std::move(x->callbacks.on_done), within("base_url", url.error()));
  x->url = net::public_url(*url);
  {
    const std::lock_guard lock(state_->mutex);
    state_->active.insert(x);
  }
  std::function<bool(std::string_view)> on_chunk;
  if (options.stream) {
    on_chunk = [x](std::string_view bytes) {
      const std::lock_guard lock(x->mutex);
      return !x->over && x->feed(bytes);
    };
  }
  state_->transport.send(
      std::move(http), std::move(on_chunk),
      [x, state = state_](Result<net::HttpResponse> response) {
        {
          const std::lock_guard lock(state->mutex);
          state->active.erase(x);
        }
        Result<model::Reply> result = fail(Code::Cancelled, "the API's client was closed");
        {
          const std::lock_guard lock(x->mutex);
          if (x->over) return;
          result = x->result(std::move(response));
          x->clean(result);
          if (result.ok()) x->show_rest();
        }
        state->end(x, std::move(result));
      },
      std::move(cancel));
}

std::string ApiGenerator::name() const { return state_->options.model; }

}  // namespace retort::wire
