// URLs as people write them: what public_url() prints reads back to the same place, and no message ever shows a
// password.
#include "net/url.h"

#include "base/fuzz/target.h"
#include "base/text.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {"http://127.0.0.1:8080/v1", "https://user:pass@api.example.org/v1/chat?x=1#y",
          "HTTP://[::1]:65535",       "https://h",
          "http://h:80/%41%zz",       "http://[fe80::1%25eth0]/a b",
          "http://[fe80%251]/"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string text(fuzz::text_of(data, size));
  if (const auto url = net::parse_url(text); url.ok()) {
    const auto again = net::parse_url(net::public_url(*url));
    RETORT_CHECK(again.ok());
    RETORT_CHECK(again->scheme == url->scheme && again->host == url->host && again->port == url->port &&
                 again->path == url->path);
    RETORT_CHECK(again->userinfo.empty() && again->query.empty());
  } else {
    fuzz::check_refusal(url.error());
  }
  if (lower_ascii(text).find("open_sesame") == std::string::npos) {
    for (const std::string secret : {"http://x:open_sesame@", "http://open_sesame@x:"}) {
      const auto url = net::parse_url(secret + text);
      const std::string shown = url.ok() ? net::public_url(*url) : url.error().message;
      RETORT_CHECK(shown.find("open_sesame") == std::string::npos);
    }
  }
  RETORT_CHECK(net::percent_decode(text).size() <= text.size());
  (void)net::is_loopback(text);
  return 0;
}
