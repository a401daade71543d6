#include "serve/api_server.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "base/hash.h"
#include "base/text.h"
#include "net/sse.h"
#include "net/url.h"
#include "wire/openai.h"

namespace retort::serve {
namespace {

using wire::ApiError;

const net::Headers kJson = {{"Content-Type", "application/json"}};

// Equal or not in time that depends on neither text; both are digests of one length.
bool same_digest(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned different = 0;
  for (size_t i = 0; i < a.size(); ++i) different |= static_cast<uint8_t>(a[i]) ^ static_cast<uint8_t>(b[i]);
  return different == 0;
}

void refuse(net::Responder& out, const ApiError& error, net::Headers extra = {}) {
  extra.insert(extra.end(), kJson.begin(), kJson.end());
  out.send(error.status, std::move(extra), to_text(wire::encode(error)));
}

ApiError to_api_error(const Error& error, bool chat) {
  const char* prompt = chat ? "messages" : "prompt";
  switch (error.code) {
    case Code::Invalid:  // the knobs were checked before: what is left to be wrong is the prompt
    case Code::NotFound: return {400, error.message, "invalid_request_error", prompt, "invalid_value"};
    case Code::Limit:  // the generator's word for a prompt that does not fit; both numbers are in its message
      return {400, error.message, "invalid_request_error", prompt, "context_length_exceeded"};
    case Code::Unavailable:
    case Code::Cancelled: return {503, error.message, "overloaded_error", "", ""};
    default: return {500, error.message, "server_error", "", ""};
  }
}

int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

}  // namespace

struct ApiServer::State : std::enable_shared_from_this<ApiServer::State> {
  Options options;
  model::Generator* generator = nullptr;
  model::Sampling defaults;
  Env* env = nullptr;
  std::string name;
  std::string url;
  int port = 0;
  int64_t created = 0;
  std::vector<std::string> key_digests;
  std::atomic<int> in_work{0};
  std::atomic<uint64_t> number{0};
  std::string id_prefix;
  std::mutex mutex;
  std::unique_ptr<net::HttpServer> http;  // guarded by mutex

  void handle(net::ServerRequest request, std::shared_ptr<net::Responder> out);
  void complete(net::ServerRequest request, std::shared_ptr<net::Responder> out, bool chat);
  bool allowed(const net::ServerRequest& request) const;
};

namespace {

// One API call on its way through the generator: gathers the replies, or streams what comes. Callbacks of different
// prompts come from the generator's threads; the mutex orders them.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(wire::ApiCall call, wire::ResponseHead head, std::shared_ptr<net::Responder> out,
           std::shared_ptr<void> ticket)
      : call_(std::move(call)), head_(std::move(head)), out_(std::move(out)), ticket_(std::move(ticket)) {
    replies_.resize(call_.requests.size());
    offsets_.resize(call_.requests.size() * static_cast<size_t>(n()));
  }

  void start(model::Generator& generator) {
    for (size_t p = 0; p < call_.requests.size(); ++p) {
      auto self = shared_from_this();
      model::Callbacks callbacks;
      if (call_.stream && !call_.no_completion)
        callbacks.on_delta = [self, p](const model::Delta& delta) { self->on_delta(p, delta); };
      callbacks.on_done = [self, p](Result<model::Reply> reply) { self->on_done(p, std::move(reply)); };
      generator.submit(call_.requests[p], std::move(callbacks), out_->gone());
    }
  }

 private:
  int n() const { return call_.requests[0].n; }
  bool logprobs() const { return call_.requests[0].top_logprobs >= 0; }
  int index(size_t p, int choice) const { return static_cast<int>(p) * n() + choice; }
  void event(const Json& json) { out_->write(net::sse_event(to_text(json))); }

  void begin() {
    if (begun_) return;
    begun_ = true;
    out_->begin(200, {{"Content-Type", "text/event-stream; charset=utf-8"},
                      {"Cache-Control", "no-cache"},
                      {"X-Accel-Buffering", "no"}});
    for (size_t p = 0; p < call_.requests.size(); ++p) {
      for (int c = 0; c < n(); ++c) {
        if (call_.chat) event(wire::chat_chunk_role(head_, index(p, c)));
        if (call_.echo) say(p, {c, "", "", *call_.requests[p].prompt, {}});
      }
    }
  }

  void say(size_t p, const model::Delta& delta) {
    const int i = index(p, delta.index);
    if (call_.chat) return event(wire::chat_chunk(head_, i, delta, logprobs()));
    int64_t& offset = offsets_[static_cast<size_t>(i)];
    event(wire::completion_chunk(head_, i, delta, logprobs(), offset));
    for (const model::Token& token : delta.tokens) offset += characters(token.bytes);  // text may be held back
  }

  void on_delta(size_t p, const model::Delta& delta) {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    if (delta.text.empty() && delta.content.empty() && delta.reasoning.empty() && delta.tokens.empty()) return;
    // A chat's piece that is all mark ("<think>") shows nothing, unless its tokens were asked for.
    if (call_.chat && delta.content.empty() && delta.reasoning.empty() && !(logprobs() && !delta.tokens.empty()))
      return;
    begin();
    say(p, delta);
  }

  void on_done(size_t p, Result<model::Reply> reply) {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    if (!reply.ok()) return failed(reply.error());
    replies_[p] = std::move(reply).value();
    if (call_.stream) {
      begin();
      for (const model::Choice& choice : replies_[p].choices) {
        const int i = index(p, choice.index);
        const std::string reason = call_.no_completion ? "length" : choice.finish_reason;
        event(call_.chat ? wire::chat_chunk_finish(head_, i, reason) : wire::completion_chunk_finish(head_, i, reason));
      }
    }
    if (++done_ < replies_.size()) return;
    over_ = true;
    if (!call_.stream) {
      const Json json = call_.chat ? wire::chat_response(head_, replies_[0], call_)
                                   : wire::completion_response(head_, replies_, call_);
      out_->send(200, kJson, to_text(json));
    } else {
      if (call_.include_usage) event(wire::chunk_usage(head_, call_.chat, usage()));
      out_->write(net::sse_event("[DONE]"));
      out_->finish();
    }
    release();
  }

  void failed(const Error& error) {
    over_ = true;
    const ApiError api = to_api_error(error, call_.chat);
    if (!begun_) {
      net::Headers headers;
      if (api.status == 503)
        headers.emplace_back("Retry-After", std::to_string(std::max<int64_t>(1, (error.retry_after_ms + 999) / 1000)));
      refuse(*out_, api, std::move(headers));
    } else if (error.code == Code::Cancelled) {
      out_->cut();
    } else {
      event(wire::encode(api));
      out_->finish();
    }
    out_->gone().request();  // the call's other prompts have nobody left who waits for them
    release();
  }

  Usage usage() const {
    Usage sum;
    for (const model::Reply& reply : replies_) {
      sum.prompt_tokens += reply.usage.prompt_tokens;
      if (call_.no_completion) continue;
      sum.completion_tokens += reply.usage.completion_tokens;
      sum.reasoning_tokens += reply.usage.reasoning_tokens;
    }
    return sum;
  }

  void release() { ticket_.reset(); }

  std::mutex mutex_;
  wire::ApiCall call_;
  wire::ResponseHead head_;
  std::shared_ptr<net::Responder> out_;
  std::shared_ptr<void> ticket_;  // counts among the requests in work
  std::vector<model::Reply> replies_;
  std::vector<int64_t> offsets_;  // characters of the tokens sent, by choice
  size_t done_ = 0;
  bool begun_ = false, over_ = false;
};

}  // namespace

bool ApiServer::State::allowed(const net::ServerRequest& request) const {
  if (key_digests.empty()) return true;
  const std::string_view given = request.header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (given.size() <= kBearer.size() || lower_ascii(given.substr(0, kBearer.size())) != kBearer) return false;
  const std::string digest = sha256(trim(given.substr(kBearer.size())));
  bool found = false;
  for (const std::string& known : key_digests) found |= same_digest(known, digest);  // all of them, always
  return found;
}

void ApiServer::State::handle(net::ServerRequest request, std::shared_ptr<net::Responder> out) {
  const bool get = request.method == "GET" || request.method == "HEAD";
  if (request.path == "/health" && get) return out->send(200, kJson, R"({"status":"ok"})");
  if (!allowed(request))
    return refuse(
        *out,
        {401, "this server needs one of its API keys as `Authorization: Bearer KEY`; the one given is not known",
         "invalid_request_error", "", "invalid_api_key"},
        {{"WWW-Authenticate", "Bearer"}});
  const bool chat = request.path == "/v1/chat/completions";
  const bool completion = request.path == "/v1/completions";
  const std::string one_model = "/v1/models/" + name;
  const bool models = request.path == "/v1/models" || request.path == one_model;
  if (!chat && !completion && !models && request.path != "/health")
    return refuse(*out, {404,
                         fmt::format("`{}` is not served here; there are /v1/chat/completions, /v1/completions, "
                                     "/v1/models and /health",
                                     to_utf8(request.path)),
                         "invalid_request_error", "", "not_found"});
  if ((chat || completion) ? request.method != "POST" : !get)
    return refuse(*out,
                  {405, fmt::format("{} does not take {}", request.path, to_utf8(request.method)),
                   "invalid_request_error", "", "method_not_allowed"},
                  {{"Allow", chat || completion ? "POST" : "GET, HEAD"}});
  if (models) {
    const Json list = wire::models_response({name}, created);
    return out->send(200, kJson, to_text(request.path == one_model ? list["data"][0] : list));
  }
  complete(std::move(request), std::move(out), chat);
}

void ApiServer::State::complete(net::ServerRequest request, std::shared_ptr<net::Responder> out, bool chat) {
  const auto body = parse_json(request.body);
  if (!body.ok())
    return refuse(*out,
                  {400, "the request's body: " + body.error().message, "invalid_request_error", "", "invalid_json"});
  wire::ApiCall call;
  const auto problem = chat ? wire::parse_chat(*body, defaults, call) : wire::parse_completion(*body, defaults, call);
  if (problem) return refuse(*out, *problem);
  if (!call.model.empty() && call.model != name)
    return refuse(*out, {404, fmt::format("model `{}` is not served here; it is `{}`", to_utf8(call.model), name),
                         "invalid_request_error", "model", "model_not_found"});
  const size_t choices = call.requests.size() * static_cast<size_t>(call.requests[0].n);
  if (choices > static_cast<size_t>(options.max_choices))
    return refuse(*out, {400,
                         fmt::format("the request asks for {} choices (prompts times n); at most {} are allowed",
                                     choices, options.max_choices),
                         "invalid_request_error", "n", "invalid_value"});
  if (in_work.fetch_add(1) >= options.max_requests) {
    --in_work;
    return refuse(*out,
                  {429, fmt::format("the queue is full: {} requests are in work; try again soon", options.max_requests),
                   "rate_limit_error", "", "queue_full"},
                  {{"Retry-After", "1"}});
  }
  const std::shared_ptr<void> ticket(nullptr, [self = shared_from_this()](void*) { --self->in_work; });
  wire::ResponseHead head;
  head.id = fmt::format("{}-{}{:x}", chat ? "chatcmpl" : "cmpl", id_prefix, number.fetch_add(1));
  head.created = env->wall_us() / 1'000'000;
  head.model = name;
  std::make_shared<Exchange>(std::move(call), std::move(head), std::move(out), ticket)->start(*generator);
}

ApiServer::ApiServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<ApiServer>> ApiServer::start(const Options& options, model::Generator& generator,
                                                    const model::Sampling& defaults, Env& env) {
  if (options.max_requests < 1 || options.max_choices < 1)
    return fail(Code::Invalid, "max_requests is {} and max_choices is {}; both must be at least 1",
                options.max_requests, options.max_choices);
  auto state = std::make_shared<State>();
  state->options = options;
  state->generator = &generator;
  state->defaults = defaults;
  state->env = &env;
  state->name = generator.name();
  state->created = env.wall_us() / 1'000'000;
  uint8_t random[8];
  env.random_bytes(random);
  for (const uint8_t byte : random) state->id_prefix += fmt::format("{:02x}", byte);
  if (!options.key_file.empty()) {
    RETORT_ASSIGN(const std::string text, env.read_file(options.key_file));
    for (const std::string_view line : split(text, '\n')) {
      const std::string_view key = trim(line);
      if (!key.empty() && key.front() != '#') state->key_digests.push_back(sha256(key));
    }
    if (state->key_digests.empty())
      return fail(Code::Invalid, "key file {} holds no key; write one a line", options.key_file);
  } else if (!net::is_loopback(options.http.host)) {
    return fail(Code::Invalid,
                "host {} would let other machines use this model, and no key file is given; give --key-file FILE (one "
                "key a line), or listen on 127.0.0.1",
                options.http.host);
  }
  auto http = net::HttpServer::start(
      options.http, [s = state.get()](net::ServerRequest request, std::shared_ptr<net::Responder> out) {
        s->handle(std::move(request), std::move(out));
      });
  if (!http.ok()) return std::move(http).error();
  state->port = (*http)->port();
  state->url = (*http)->url();
  state->http = std::move(http).value();
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(state)));
}

ApiServer::~ApiServer() { stop(0); }

int ApiServer::port() const { return state_->port; }
std::string ApiServer::url() const { return state_->url; }

void ApiServer::stop(int64_t grace_ms) {
  std::unique_ptr<net::HttpServer> http;
  {
    const std::lock_guard lock(state_->mutex);
    http = std::move(state_->http);
  }
  if (http) http->stop(grace_ms);
}

}  // namespace retort::serve
