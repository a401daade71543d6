// ApiServer: OpenAI's API over a model::Generator: GET /v1/models, /health; POST /v1/chat/completions, /v1/completions.
// Follows requests to their end, streams what comes, cancels what nobody waits for. Loopback unless keys are given; who
// may ask is told from the head (access.h), before the body is read. Bodies are read on threads of their own
// (readers.h), so the connections, and with them /health, wait for nobody's request. The API's model name is the
// generator's. Non-goals: batching and scheduling (the generator's), TLS, users and quotas.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "base/secret.h"
#include "model/generator.h"
#include "net/http_server.h"

namespace retort::serve {

struct Options {
  net::ServerOptions http;
  std::string key_file;  // one key a line, # begins a comment; "": no keys, loopback only
  std::vector<std::string> allow_host, allow_origin;
  int max_requests = 64;
  int max_choices = 128;

  template <class V>
  void fields(V&& v) {
    http.fields(v);
    v("key_file", key_file, "file of accepted API keys, one a line; needed to listen beyond this machine");
    v("allow_host", allow_host, "another name of this server, besides localhost and the address it listens on");
    v("allow_origin", allow_origin, "web origin whose pages may use this server (https://chat.example; *: any)");
    v("max_requests", max_requests, "requests in work or queued; more are answered 429 with Retry-After");
    v("max_choices", max_choices, "n times prompts of one request at most");
  }
};

class ApiServer {
 public:
  // Listens and returns. `generator` and `env` must outlive this. `defaults`: sampling knobs for what requests leave
  // out. Errors: Invalid as Access::make(); Io as net::HttpServer.
  static Result<std::unique_ptr<ApiServer>> start(const Options& options, model::Generator& generator,
                                                  const model::Sampling& defaults, Env& env);
  ~ApiServer();
  int port() const;
  std::string url() const;  // "http://127.0.0.1:8080"
  // Gives running responses `grace_ms` to end, then cancels them.
  void stop(int64_t grace_ms);

 private:
  struct State;
  explicit ApiServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace retort::serve
