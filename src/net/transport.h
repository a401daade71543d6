// Transport: HTTP requests out, responses back. Implemented by libcurl's multi interface (net/curl_transport.h) and by
// a scripted fake (net/fake_transport.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/result.h"
#include "base/secret.h"

namespace retort::net {

using Headers = std::vector<std::pair<std::string, std::string>>;
using SecretHeaders = std::vector<std::pair<std::string, Secret>>;

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  Secret bearer;                 // sent as `Authorization: Bearer ...` where not empty, never logged
  SecretHeaders secret_headers;  // sent, never logged
  std::string body;
  int64_t connect_timeout_ms = 10'000;
  int64_t timeout_ms = 600'000;       // of the whole exchange
  int64_t idle_timeout_ms = 120'000;  // without a byte received
  int64_t max_body_bytes = 64 << 20;
  Cancel owner;  // stops it like send()'s `cancel`; for a sender that ends what it sent for others
};

struct HttpResponse {
  int status = 0;
  Headers headers;   // names in lower case
  std::string body;  // whole, also where it was streamed
};

// The value of header `name` (lower case) or "".
std::string_view header(const HttpResponse& response, std::string_view name);

class Transport {
 public:
  virtual ~Transport() = default;
  // Queues the request and returns at once. `on_chunk` (may be empty) sees body bytes of a 2xx response as they arrive;
  // with false it says that it has all it wants, and the exchange ends there and then, in an ok response. `on_done`
  // comes exactly once, from the transport's thread. Any HTTP status is an ok response; Errors are
  // Unavailable (no connection, reset, time-out; the message says how much had arrived), Cancelled, Limit (body too
  // large) or Invalid (malformed URL); maybe_charged once the request had left. Thread-safe.
  virtual void send(HttpRequest request, std::function<bool(std::string_view)> on_chunk,
                    std::function<void(Result<HttpResponse>)> on_done, Cancel cancel) = 0;
};

// send() and wait. Not from a callback.
Result<HttpResponse> fetch(Transport& transport, HttpRequest request, Cancel cancel = {});

// The longest that a server may make a client wait by one answer. Who needs longer says so again.
inline constexpr int64_t kMaxRetryAfterMs = 600'000;

// Milliseconds of a Retry-After header (seconds or an HTTP date, RFC 9110 section 10.2.3), at most kMaxRetryAfterMs; -1
// where absent or malformed.
int64_t retry_after_ms(const HttpResponse& response, int64_t wall_us);

}  // namespace retort::net
