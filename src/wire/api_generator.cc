#include "wire/api_generator.h"

#include <algorithm>
#include <mutex>
#include <unordered_set>

#include "base/env.h"
#include "base/text.h"
#include "net/sse.h"
#include "net/url.h"
#include "wire/openai.h"

namespace retort::wire {
namespace {

// The first bytes of a body for a message: one line, printable.
std::string first_bytes(std::string_view body) {
  std::string shown = to_utf8(body.substr(0, 120));
  for (char& c : shown) {
    if (static_cast<uint8_t>(c) < ' ' || c == 0x7f) c = ' ';
  }
  return shown;
}

int64_t wait_of(const net::HttpResponse& response) {
  const std::string ms(net::header(response, "retry-after-ms"));  // OpenAI's and Azure's finer header
  if (!ms.empty() && ms.size() <= 8 && ms.find_first_not_of("0123456789") == std::string::npos) return std::stoll(ms);
  return net::retry_after_ms(response, system_env().wall_us());
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
  return fail(Code::Invalid, "{} answers {}: {}{}", url, status, words,
              said.param.empty() ? "" : " (`" + to_utf8(said.param) + "`)");
}

Error unusable(const std::string& url, std::string_view body, std::string_view why) {
  Error error = fail(Code::Unavailable, "{} sent {} ({} bytes, beginning `{}`); is base_url an OpenAI-compatible API?",
                     url, why, body.size(), first_bytes(body));
  error.maybe_charged = true;
  return error;
}

// One request under way. The transport's thread feeds it; the generator's destructor may end it first.
struct Exchange {
  std::mutex mutex;
  bool over = false;
  model::Callbacks callbacks;
  Cancel owner;
  std::string url, model;
  int n = 1;
  bool stream = false;
  // Of a stream:
  std::string raw;
  net::SseParser sse;
  StreamDecoder decoder;
  bool done_mark = false;
  Status trouble;

  void event(const std::string& data) {
    if (!trouble.ok() || done_mark) return;
    if (trim(data) == "[DONE]") {
      done_mark = true;
      return;
    }
    auto json = parse_json(data);
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

  void show(const std::vector<model::Delta>& deltas) const {
    if (!callbacks.on_delta) return;
    for (const model::Delta& delta : deltas) callbacks.on_delta(delta);
  }

  void feed(std::string_view bytes) {
    raw += bytes;
    Status status = sse.feed(bytes, [&](const net::SseEvent& e) { event(e.data); });
    if (!status.ok() && trouble.ok()) trouble = std::move(status);
  }

  Result<model::Reply> result(Result<net::HttpResponse> response) {
    // A stream that came to its end mark is whole, whatever the connection did afterwards.
    const bool whole = stream && trouble.ok() && done_mark && !decoder.empty();
    if (!response.ok() && !whole) return std::move(response).error();
    if (response.ok() && (response->status < 200 || response->status >= 300)) return refusal(*response, url, model);
    if (!trouble.ok()) return trouble.error();
    if (stream && (whole || decoder.complete(n))) return streamed();
    const std::string& body = response->body;
    // Some servers answer whole though a stream was asked for.
    const size_t first = body.find_first_not_of(" \t\r\n");
    if (!stream || (first != std::string::npos && body[first] == '{')) return whole_body(body);
    if (!sse.saw_field()) return unusable(url, body, body.empty() ? "an empty body" : "no event stream");
    Error cut = fail(Code::Unavailable, "{}: the stream was cut after {} bytes, without finish_reason or [DONE]", url,
                     body.size());
    cut.maybe_charged = true;
    return cut;
  }

  Result<model::Reply> streamed() {
    std::vector<model::Delta> deltas;
    model::Reply reply = decoder.finish(deltas);
    show(deltas);
    reply.raw = std::move(raw);
    if (reply.model.empty()) reply.model = model;
    return reply;
  }

  Result<model::Reply> whole_body(const std::string& body) {
    const auto json = parse_json(body);
    if (!json.ok()) return unusable(url, body, body.empty() ? "an empty body" : "a body that is not JSON");
    auto reply = decode_response(*json);
    if (!reply.ok()) return unusable(url, body, "JSON that is no completion");
    reply->raw = body;
    if (reply->model.empty()) reply->model = model;
    for (const model::Choice& choice : reply->choices) {
      if (callbacks.on_delta)
        callbacks.on_delta({choice.index, choice.reasoning, choice.content, choice.text, choice.tokens});
    }
    return reply;
  }
};

}  // namespace

struct ApiGenerator::State {
  net::Transport& transport;
  ApiOptions options;
  Secret key;
  Json extra;
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

ApiGenerator::ApiGenerator(net::Transport& transport, ApiOptions options, Secret key, Json extra)
    : state_(new State{transport, std::move(options), std::move(key), std::move(extra), {}, {}}) {}

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
    return callbacks.on_done(
        fail(Code::Invalid, "log-probabilities of prompts are not asked of an API; use a local model"));
  auto x = std::make_shared<Exchange>();
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
  http.body = to_text(encode_request(request, options.model, how));
  http.connect_timeout_ms = options.connect_timeout_ms;
  http.timeout_ms = options.timeout_ms;
  http.idle_timeout_ms = options.idle_timeout_ms;
  http.max_body_bytes = options.max_body_bytes;
  http.owner = x->owner;
  const auto url = net::parse_url(http.url);
  if (!url.ok()) return x->callbacks.on_done(within("base_url", url.error()));
  x->url = net::public_url(*url);
  {
    const std::lock_guard lock(state_->mutex);
    state_->active.insert(x);
  }
  std::function<void(std::string_view)> on_chunk;
  if (options.stream) {
    on_chunk = [x](std::string_view bytes) {
      const std::lock_guard lock(x->mutex);
      if (!x->over) x->feed(bytes);
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
        }
        state->end(x, std::move(result));
      },
      std::move(cancel));
}

std::string ApiGenerator::name() const { return state_->options.model; }

}  // namespace retort::wire
