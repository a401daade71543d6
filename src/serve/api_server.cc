#include "serve/api_server.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "base/text.h"
#include "net/sse.h"
#include "serve/access.h"
#include "serve/readers.h"
#include "wire/openai.h"

namespace retort::serve {
namespace {

using wire::ApiError;

constexpr const char* kChatPath = "/v1/chat/completions";
constexpr const char* kCompletionPath = "/v1/completions";
const net::Headers kJson = {{"Content-Type", "application/json"}};

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

namespace {

// An answer with more headers than its maker knows of.
class WithHeaders final : public net::Responder {
 public:
  WithHeaders(std::shared_ptr<net::Responder> inner, net::Headers more)
      : inner_(std::move(inner)), more_(std::move(more)) {}
  void send(int status, net::Headers headers, std::string body) override {
    headers.insert(headers.end(), more_.begin(), more_.end());
    inner_->send(status, std::move(headers), std::move(body));
  }
  void begin(int status, net::Headers headers) override {
    headers.insert(headers.end(), more_.begin(), more_.end());
    inner_->begin(status, std::move(headers));
  }
  void write(std::string bytes) override { inner_->write(std::move(bytes)); }
  void finish() override { inner_->finish(); }
  void cut() override { inner_->cut(); }
  void after(int64_t delay_ms, std::function<void()> then) override { inner_->after(delay_ms, std::move(then)); }
  const Cancel& gone() const override { return inner_->gone(); }

 private:
  std::shared_ptr<net::Responder> inner_;
  net::Headers more_;
};

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
  Access access;
  Readers readers;
  std::atomic<int> in_work{0};
  std::atomic<uint64_t> number{0};
  std::string id_prefix;
  std::mutex mutex;
  std::unique_ptr<net::HttpServer> http;  // guarded by mutex

  net::Admission admit(const net::ServerRequest& head) const;
  void handle(net::ServerRequest request, std::shared_ptr<net::Responder> out);
  void complete(net::ServerRequest& request, std::shared_ptr<net::Responder> out, std::shared_ptr<void> ticket);
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
      // What the answer repeats is kept, the rest moves on.
      model::Request request = call_.echo ? call_.requests[p] : std::move(call_.requests[p]);
      generator.submit(std::move(request), std::move(callbacks), out_->gone());
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
    for (const model::Token& token : delta.tokens)
      if (token.is_text) offset += characters(token.bytes);  // text may be held back
  }

  void on_delta(size_t p, const model::Delta& delta) {
    const std::lock_guard lock(mutex_);
    if (over_) return;
    // A piece that is all mark ("<think>", an end token) shows nothing, unless its tokens were asked for.
    const bool silent = call_.chat ? delta.content.empty() && delta.reasoning.empty() : delta.text.empty();
    if (silent && !(logprobs() && !delta.tokens.empty())) return;
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

// Everything that the head can tell: nothing of a body is read for who may not ask, or asks for what is not there.
net::Admission ApiServer::State::admit(const net::ServerRequest& head) const {
  const net::Headers cors = access.cors(head);
  const auto no = [&](const ApiError& error, net::Headers headers = {}) {
    headers.insert(headers.end(), kJson.begin(), kJson.end());
    headers.insert(headers.end(), cors.begin(), cors.end());
    return net::Admission{error.status, std::move(headers), to_text(wire::encode(error)), -1};
  };
  const bool get = head.method == "GET" || head.method == "HEAD";
  net::Admission no_body;
  no_body.max_body_bytes = 0;
  if (head.path == "/health" && get) return no_body;
  if (const auto error = access.foreign(head)) return no(*error);
  if (head.method == "OPTIONS" && !cors.empty()) {  // a browser asks for a page whether it may ask; it shows no key
    net::Headers allowed = cors;
    allowed.insert(allowed.end(), {{"Access-Control-Allow-Methods", "GET, HEAD, POST"},
                                   {"Access-Control-Allow-Headers", "Authorization, Content-Type"},
                                   {"Access-Control-Max-Age", "600"}});
    return {204, std::move(allowed), "", -1};
  }
  if (!access.has_key(head))
    return no({401, "this server needs one of its API keys as `Authorization: Bearer KEY`; the one given is not known",
               "invalid_request_error", "", "invalid_api_key"},
              {{"WWW-Authenticate", "Bearer"}});
  const bool post = head.path == kChatPath || head.path == kCompletionPath;
  if (!post && head.path != "/v1/models" && head.path != "/v1/models/" + name && head.path != "/health")
    return no({404,
               fmt::format("`{}` is not served here; there are {}, {}, /v1/models and /health", to_utf8(head.path),
                           kChatPath, kCompletionPath),
               "invalid_request_error", "", "not_found"});
  if (post ? head.method != "POST" : !get)
    return no({405, fmt::format("{} does not take {}", to_utf8(head.path), to_utf8(head.method)),
               "invalid_request_error", "", "method_not_allowed"},
              {{"Allow", post ? "POST" : "GET, HEAD"}});
  if (!post) return no_body;
  const std::string_view type = head.header("content-type");
  if (lower_ascii(trim(type.substr(0, type.find(';')))) != "application/json")
    return no({415, fmt::format("the body must come with `Content-Type: application/json`, not `{}`", to_utf8(type)),
               "invalid_request_error", "", "unsupported_media_type"});
  return {};
}

void ApiServer::State::handle(net::ServerRequest request, std::shared_ptr<net::Responder> out) {
  if (net::Headers cors = access.cors(request); !cors.empty())
    out = std::make_shared<WithHeaders>(std::move(out), std::move(cors));
  if (request.path == "/health") return out->send(200, kJson, R"({"status":"ok"})");
  if (request.method != "POST") {
    const Json list = wire::models_response({name}, created);
    return out->send(200, kJson, to_text(request.path == "/v1/models" ? list : list["data"][0]));
  }
  if (in_work.fetch_add(1) >= options.max_requests) {
    --in_work;
    return refuse(*out,
                  {429, fmt::format("the queue is full: {} requests are in work; try again soon", options.max_requests),
                   "rate_limit_error", "", "queue_full"},
                  {{"Retry-After", "1"}});
  }
  std::shared_ptr<void> ticket(nullptr, [self = shared_from_this()](void*) { --self->in_work; });
  const size_t bytes = request.body.size();
  const Cancel gone = out->gone();
  readers.add(bytes, gone,
              [this, request = std::make_shared<net::ServerRequest>(std::move(request)), out = std::move(out),
               ticket = std::move(ticket)] {
                try {
                  complete(*request, out, ticket);
                } catch (const std::exception& e) {
                  refuse(*out,
                         {500, std::string("the request could not be read: ") + e.what(), "server_error", "", ""});
                }
              });
}

// On a reader's thread. What a body holds is bounded before it is parsed, what a call asks for before it is copied.
void ApiServer::State::complete(net::ServerRequest& request, std::shared_ptr<net::Responder> out,
                                std::shared_ptr<void> ticket) {
  const bool chat = request.path == kChatPath;
  wire::ApiCall call;
  {
    const auto body = parse_json(request.body, wire::kMaxRequestValues);
    request.body = {};
    request.lease.reset();
    if (!body.ok())
      return refuse(*out,
                    {400, "the request's body: " + body.error().message, "invalid_request_error", "", "invalid_json"});
    const auto problem = chat ? wire::parse_chat(*body, defaults, call, options.max_choices)
                              : wire::parse_completion(*body, defaults, call, options.max_choices);
    if (problem) return refuse(*out, *problem);
  }
  if (!call.model.empty() && call.model != name)
    return refuse(*out, {404, fmt::format("the model served here is `{}`, not `{}`", name, to_utf8(call.model)),
                         "invalid_request_error", "model", "model_not_found"});
  wire::ResponseHead head;
  head.id = fmt::format("{}-{}{:x}", chat ? "chatcmpl" : "cmpl", id_prefix, number.fetch_add(1));
  head.created = env->wall_us() / 1'000'000;
  head.model = name;
  std::make_shared<Exchange>(std::move(call), std::move(head), std::move(out), std::move(ticket))->start(*generator);
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
  RETORT_ASSIGN(state->access,
                Access::make(options.http.host, options.allow_host, options.allow_origin, options.key_file, env));
  auto http = net::HttpServer::start(
      options.http,
      [s = state.get()](net::ServerRequest request, std::shared_ptr<net::Responder> out) {
        s->handle(std::move(request), std::move(out));
      },
      [s = state.get()](const net::ServerRequest& request) { return s->admit(request); });
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
  state_->readers.stop();
}

}  // namespace retort::serve
