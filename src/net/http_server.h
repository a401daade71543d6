// HttpServer: HTTP/1.1 for retort's own programs (serve, teacher) on Boost.Beast and Asio, whose headers stay in the
// .cc. One handler answers every request, at once or later from any thread, whole or in pieces; it may also be told to
// misbehave (delay, cut), because the teacher injects faults on purpose. Loopback unless asked otherwise. Strict where
// two readers could take one request for two: one Host, `chunked` or nothing as Transfer-Encoding, none on HTTP/1.0.
// Non-goals: TLS (put a proxy before it), HTTP/2, files, routing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/cancel.h"
#include "base/result.h"
#include "net/transport.h"

namespace retort::net {

struct ServerRequest {
  std::string method;  // "POST"
  std::string target;  // "/v1/models?limit=3", as sent
  std::string path;    // "/v1/models", percent-decoded
  std::string query;   // "limit=3", as sent
  Headers headers;     // names in lower case
  std::string body;
  std::string remote;           // "127.0.0.1:53422"
  std::shared_ptr<void> lease;  // counts the body against max_buffered_bytes for as long as anybody holds it

  // The value of header `name` (lower case) or "".
  std::string_view header(std::string_view name) const;
};

// The answer to one request. All calls may come from any thread and return at once; bytes leave in call order. Either
// send(), or begin(), write()..., finish(). What comes after the end, or after the client went away, is ignored.
// Dropping the last reference without an end answers 500, or cuts the connection where a body had begun.
class Responder {
 public:
  virtual ~Responder() = default;
  // A whole response. Content-Length, Date and Connection are added; header names and values must hold no CR or LF
  // (such headers are left out).
  virtual void send(int status, Headers headers, std::string body) = 0;
  // A response in pieces (chunked; on HTTP/1.0 delimited by closing).
  virtual void begin(int status, Headers headers) = 0;
  virtual void write(std::string bytes) = 0;
  virtual void finish() = 0;
  // Closes the connection at once after what was written so far (a reset where nothing was): a fault, on purpose or
  // because the body cannot be completed.
  virtual void cut() = 0;
  // Runs `then` on a server thread after `delay_ms`; dropped without a call where the server stops first.
  virtual void after(int64_t delay_ms, std::function<void()> then) = 0;
  // Requested once the client closed its connection, stopped reading for write_timeout_ms, or the server stops. A
  // client that only ends its own sending (shutdown(SHUT_WR)) still gets its answer; to tell it from one that is gone
  // the server sends it an interim `100 Continue`.
  virtual const Cancel& gone() const = 0;
};

using Handler = std::function<void(ServerRequest, std::shared_ptr<Responder>)>;

// What becomes of a request whose head has come and whose body has not.
struct Admission {
  int status = 0;  // 0: the body is read and the handler called; else this is the answer, and no body is read
  Headers headers;
  std::string body;
  int64_t max_body_bytes = -1;  // of this request; -1: as the options say
};
// Called on the server's threads for each head (a request with an empty body); must not block.
using OnHead = std::function<Admission(const ServerRequest& head)>;

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;
  int threads = 2;
  int max_connections = 256;
  int64_t max_header_bytes = 32 << 10;
  int64_t max_body_bytes = 32 << 20;
  int64_t max_buffered_bytes = 256 << 20;
  int64_t idle_timeout_ms = 75'000;
  int64_t write_timeout_ms = 60'000;

  template <class V>
  void fields(V&& v) {
    v("host", host, "address to listen on");
    v("port", port, "port to listen on; 0 takes a free one");
    v("http_threads", threads, "threads that serve connections");
    v("max_connections", max_connections,
      "connections open at once; a new one takes the place of the longest idle, or is answered 503");
    v("max_header_bytes", max_header_bytes, "bytes of request line and headers; more are answered 431");
    v("max_body_bytes", max_body_bytes, "bytes of a request's body; more are answered 413");
    v("max_buffered_bytes", max_buffered_bytes,
      "bytes of bodies held for all connections together; what passes them is answered 503");
    v("idle_timeout_ms", idle_timeout_ms, "for a request to arrive whole, and between requests");
    v("write_timeout_ms", write_timeout_ms, "for a client that does not read");
  }
};

class HttpServer {
 public:
  // Listens and returns. The handler runs on the server's threads, for different connections at once; it should not
  // block long. Exceptions that it or `on_head` lets out become 500. Errors: Io where the address cannot be had (in
  // use, not permitted, not of this host), Invalid for options out of range.
  static Result<std::unique_ptr<HttpServer>> start(const ServerOptions& options, Handler handler, OnHead on_head = {});
  ~HttpServer();  // stop(0)
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const;         // the one in use, also where 0 was asked for
  std::string url() const;  // "http://127.0.0.1:8080", no slash at the end
  // Takes no more connections, gives running responses `grace_ms` to end, then marks them gone and cuts them.
  // Idempotent.
  void stop(int64_t grace_ms);

  struct State;  // of http_server.cc

 private:
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace retort::net
