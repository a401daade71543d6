// Retry-After as servers send it: seconds, fractions or dates; a wait within bounds, or none.
#include "net/transport.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {"7",
          "1.5",
          " 120 ",
          "Wed, 21 Oct 2026 07:28:00 GMT",
          "Sunday, 06-Nov-94 08:49:37 GMT",
          "Sun Nov  6 08:49:37 2094",
          "999999999999"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  net::HttpResponse response;
  response.headers = {{"date", "x"}, {"retry-after", std::string(fuzz::text_of(data, size))}};
  for (const int64_t now : {int64_t{0}, int64_t{1'770'000'000'000'000}, INT64_MAX}) {
    const int64_t wait = net::retry_after_ms(response, now);
    RETORT_CHECK(wait >= -1 && wait <= net::kMaxRetryAfterMs);
  }
  return 0;
}
