// URLs as far as an API client and a small server need them (RFC 3986). Non-goals: relative references,
// internationalised names.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace retort::net {

struct Url {
  std::string scheme;    // "http" or "https"
  std::string userinfo;  // "user:password" or ""
  std::string host;      // lower case; an IPv6 address without its brackets
  int port = 0;          // 80 or 443 where the URL gives none
  std::string path;      // "/v1", at least "/"
  std::string query;     // without '?'
};

// Invalid where the scheme is not http or https, host or port are malformed, or the path holds `.` or `..`; the message
// names the part, never the userinfo.
Result<Url> parse_url(std::string_view text);
// "https://host:port/path": no userinfo, no query; the default port left out. For messages and provenance.
std::string public_url(const Url& url);
// `base` and `path` with exactly one slash between, a query of `base` kept at the end: ("http://h/v1/?a=b", "chat") ->
// "http://h/v1/chat?a=b".
std::string join_url(std::string_view base, std::string_view path);
// True for localhost, 127.0.0.0/8 and ::1.
bool is_loopback(std::string_view host);
// "%41" to "A"; malformed escapes are kept as they are.
std::string percent_decode(std::string_view text);

}  // namespace retort::net
