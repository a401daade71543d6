#include "net/url.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace retort::net {
namespace {

bool host_ok(std::string_view host, bool bracketed) {
  if (host.empty() || host.size() > 253 || bracketed != (host.find(':') != std::string_view::npos)) return false;
  for (const char c : host) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    if (bracketed ? !(alnum || c == ':' || c == '.' || c == '%') : !(alnum || c == '-' || c == '.' || c == '_'))
      return false;
  }
  return true;
}

// A segment `.` or `..`, its dots perhaps written as %2e: a client takes it out before it asks, so that what is asked
// lies elsewhere than the text says.
bool has_dot_segment(std::string_view path) {
  std::string plain = percent_decode(path);
  std::replace(plain.begin(), plain.end(), '\\', '/');
  for (const std::string_view segment : split(plain, '/')) {
    if (segment == "." || segment == "..") return true;
  }
  return false;
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  Url url;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f)
      return fail(Code::Invalid, "a URL holds white space or control characters; write them as %XX");
  }
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos)
    return fail(Code::Invalid, "a URL must begin with http:// or https://, as in http://127.0.0.1:8080/v1");
  url.scheme = lower_ascii(text.substr(0, scheme_end));
  if (url.scheme != "http" && url.scheme != "https")
    return fail(Code::Invalid, "a URL's scheme must be http or https, not `{}`", to_utf8(url.scheme));
  std::string_view rest = text.substr(scheme_end + 3);
  const size_t authority_end = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, authority_end);
  rest = authority_end == std::string_view::npos ? std::string_view() : rest.substr(authority_end);
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    url.userinfo = authority.substr(0, at);
    authority = authority.substr(at + 1);
  }
  std::string_view port;
  bool bracketed = false;
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return fail(Code::Invalid, "a URL's IPv6 address lacks its closing bracket");
    bracketed = true;
    url.host = lower_ascii(authority.substr(1, close - 1));
    authority = authority.substr(close + 1);
    if (!authority.empty() && authority.front() != ':')
      return fail(Code::Invalid, "a URL has text after its IPv6 address");
    if (!authority.empty()) port = authority.substr(1);
  } else {
    const size_t colon = authority.find(':');
    url.host = lower_ascii(authority.substr(0, colon));
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  if (!host_ok(url.host, bracketed))
    return fail(Code::Invalid, "a URL's host `{}` is not a host name", to_utf8(url.host));
  url.port = url.scheme == "https" ? 443 : 80;
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (error != std::errc() || end != port.data() + port.size() || url.port < 1 || url.port > 65535)
      return fail(Code::Invalid, "a URL's port `{}` is not between 1 and 65535", to_utf8(port));
  }
  rest = rest.substr(0, rest.find('#'));
  const size_t question = rest.find('?');
  url.path = rest.substr(0, question);
  if (question != std::string_view::npos) url.query = rest.substr(question + 1);
  if (url.path.empty()) url.path = "/";
  if (has_dot_segment(url.path))
    return fail(Code::Invalid, "a URL's path `{}` holds `.` or `..`; write the path that is meant", to_utf8(url.path));
  return url;
}

std::string public_url(const Url& url) {
  const bool v6 = url.host.find(':') != std::string::npos;
  std::string text = url.scheme + "://" + (v6 ? "[" + url.host + "]" : url.host);
  if (url.port != (url.scheme == "https" ? 443 : 80)) text += fmt::format(":{}", url.port);
  return text + url.path;
}

std::string join_url(std::string_view base, std::string_view path) {
  const size_t question = std::min(base.find('?'), base.size());
  const std::string_view query = base.substr(question);
  base = base.substr(0, question);
  while (!base.empty() && base.back() == '/') base.remove_suffix(1);
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  return std::string(base) + "/" + std::string(path) + std::string(query);
}

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1" || host == "0:0:0:0:0:0:0:1") return true;
  const auto parts = split(host, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  for (const std::string_view part : parts) {
    if (part.empty() || part.size() > 3 || part.find_first_not_of("0123456789") != std::string_view::npos) return false;
  }
  return true;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace retort::net
