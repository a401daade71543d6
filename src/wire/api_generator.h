// ApiGenerator: a teacher's (or any OpenAI-compatible) API as a model::Generator. One attempt a submit: the caller owns
// retries, because it owns the budget. The response body is kept as received in Reply::raw (streams: the event stream).
// Keys are taken out of all that comes back before anybody sees it; where a server cut one into pieces that only the
// answer joins, Reply::raw is empty.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "base/secret.h"
#include "model/courier.h"
#include "model/generator.h"
#include "net/transport.h"

namespace retort::wire {

struct ApiOptions {
  std::string base_url = "http://127.0.0.1:8080/v1";
  std::string model;
  bool stream = true;
  bool max_completion_tokens = false;
  int64_t connect_timeout_ms = 10'000;
  int64_t timeout_ms = 600'000;
  int64_t idle_timeout_ms = 120'000;
  int64_t max_body_bytes = 0;

  template <class V>
  void fields(V&& v) {
    v("base_url", base_url, "the API's address up to and with /v1");
    v("model", model, "the model's name at that API");
    v("stream", stream, "ask for event streams (a cut is noticed at once)");
    v("max_completion_tokens", max_completion_tokens, "send max_completion_tokens in place of max_tokens");
    v("connect_timeout_ms", connect_timeout_ms, "for a connection");
    v("timeout_ms", timeout_ms, "for a whole response");
    v("idle_timeout_ms", idle_timeout_ms, "without a byte received");
    v("max_body_bytes", max_body_bytes, "of a response; 0: 1 MiB and 1 KiB for each token asked for, 64 MiB at most");
  }
};

struct ExtraHeaders {
  net::Headers plain;
  net::SecretHeaders secret;  // keys, such as Azure's api-key
};

// Errors that submit() ends with:
//   Unavailable  408, 409, 425, 429, 5xx (with retry_after_ms), no connection, time-out, a stream that was cut (the
//   message
//                says after how many bytes), HTML or garbage where JSON should be (the message shows the first bytes)
//   Invalid      401 and 403 (what to check), 404, 400 and the rest of 4xx with the server's words, a redirect
//                a response over max_body_bytes (maybe_charged: the next one will be no smaller)
//   Limit        402 and quota errors: retrying does not help
//   Cancelled
class ApiGenerator final : public model::Generator {
 public:
  // `transport` must outlive this. `extra`: members added to each request's body (a null takes one away), null where
  // none. `headers` are sent with each request.
  ApiGenerator(net::Transport& transport, ApiOptions options, Secret key, Json extra = nullptr,
               ExtraHeaders headers = {});
  ~ApiGenerator() override;
  void submit(model::Request request, model::Callbacks callbacks, Cancel cancel) override;
  std::string name() const override;

 private:
  struct State;
  std::shared_ptr<State> state_;
  model::Courier courier_;
};

}  // namespace retort::wire
