#include "net/transport.h"

#include <algorithm>
#include <future>

#include <curl/curl.h>

#include "base/text.h"

namespace retort::net {

std::string_view header(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

Result<HttpResponse> fetch(Transport& transport, HttpRequest request, Cancel cancel) {
  std::promise<Result<HttpResponse>> promise;
  auto future = promise.get_future();
  transport.send(
      std::move(request), {}, [&](Result<HttpResponse> response) { promise.set_value(std::move(response)); },
      std::move(cancel));
  return future.get();
}

int64_t retry_after_ms(const HttpResponse& response, int64_t wall_us) {
  const std::string value(trim(header(response, "retry-after")));
  if (value.empty()) return -1;
  if (value.find_first_not_of("0123456789") == std::string::npos) {
    if (value.size() > 9) return kMaxRetryAfterMs;
    return std::min<int64_t>(kMaxRetryAfterMs, std::stoll(value) * 1000);
  }
  // OpenAI's own servers round down to whole seconds; some others send fractions ("1.5").
  if (value.find_first_not_of("0123456789.") == std::string::npos && std::count(value.begin(), value.end(), '.') == 1 &&
      value.size() <= 12 && value != ".") {
    return std::min<int64_t>(kMaxRetryAfterMs, static_cast<int64_t>(std::stod(value) * 1000 + 0.999));
  }
  // An HTTP date always names its zone; curl_getdate alone would take "12" or "tomorrow's" fragments too.
  if (value.size() < 20 || value.find(':') == std::string::npos) return -1;
  const time_t when = curl_getdate(value.c_str(), nullptr);
  if (when < 0) return -1;
  return std::clamp<int64_t>(static_cast<int64_t>(when) * 1000 - wall_us / 1000, 0, kMaxRetryAfterMs);
}

}  // namespace retort::net
