#include "serve/access.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "net/url.h"

namespace retort::serve {
namespace {

// Equal or not in time that depends on neither text; both are digests of one length.
bool same_digest(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned different = 0;
  for (size_t i = 0; i < a.size(); ++i) different |= static_cast<uint8_t>(a[i]) ^ static_cast<uint8_t>(b[i]);
  return different == 0;
}

// "name" of "Name:8080", "[::1]" of "[::1]:8080"; in lower case, without a dot at the end.
std::string host_name(std::string_view authority) {
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string name = lower_ascii(authority.substr(0, colon));
  if (!name.empty() && name.back() == '.') name.pop_back();
  return name;
}

bool is_ip_address(std::string_view name) {
  if (name.starts_with('[')) return name.ends_with(']') && name.find_first_not_of("[]0123456789abcdef:.") == name.npos;
  return std::count(name.begin(), name.end(), '.') == 3 && name.find_first_not_of("0123456789.") == name.npos;
}

// "chat.example:8080" of "https://chat.example:8080", "" of anything else ("null").
std::string_view authority_of(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

}  // namespace

Result<Access> Access::make(const std::string& host, const std::vector<std::string>& allow_hosts,
                            const std::vector<std::string>& allow_origins, const std::string& key_file, Env& env) {
  Access access;
  access.any_address_ = host == "0.0.0.0" || host == "::";
  access.hosts_ = {"localhost", "127.0.0.1", "[::1]",
                   host.find(':') == std::string::npos ? host_name(host) : "[" + lower_ascii(host) + "]"};
  for (const std::string& name : allow_hosts) {
    if (name.empty() || name.find_first_of("/*@ ") != std::string::npos || host_name(name) != lower_ascii(name))
      return fail(Code::Invalid, "--allow-host `{}` is no host name; give it without scheme and port (box.local)",
                  name);
    access.hosts_.push_back(lower_ascii(name));
  }
  for (const std::string& origin : allow_origins) {
    const std::string_view authority = authority_of(origin);
    if (origin != "*" && (authority.empty() || authority.find('/') != std::string_view::npos))
      return fail(Code::Invalid, "--allow-origin `{}` is no origin; give scheme and host (https://chat.example), or *",
                  origin);
    access.origins_.push_back(lower_ascii(origin));
  }
  if (!key_file.empty()) {
    RETORT_ASSIGN(const std::string text, env.read_file(key_file));
    for (const std::string_view line : split(text, '\n')) {
      const std::string_view key = trim(line);
      if (!key.empty() && key.front() != '#') access.key_digests_.push_back(sha256(key));
    }
    if (access.key_digests_.empty()) return fail(Code::Invalid, "key file {} holds no key; write one a line", key_file);
  } else if (!net::is_loopback(host)) {
    return fail(Code::Invalid,
                "host {} would let other machines use this model, and no key file is given; give --key-file FILE (one "
                "key a line), or listen on 127.0.0.1",
                host);
  }
  return access;
}

bool Access::own_host(std::string_view host) const {
  if (std::find(hosts_.begin(), hosts_.end(), host) != hosts_.end()) return true;
  return any_address_ && is_ip_address(host);  // an address cannot be made to resolve here
}

bool Access::allowed_origin(std::string_view origin) const {
  const auto is = [&](std::string_view text) {
    return std::find(origins_.begin(), origins_.end(), text) != origins_.end();
  };
  return is("*") || is(lower_ascii(origin));
}

std::optional<wire::ApiError> Access::foreign(const net::ServerRequest& head) const {
  const std::string_view host = head.header("host"), origin = head.header("origin");
  // HTTP/1.0 may come without one; a browser never does.
  if (!host.empty() && !own_host(host_name(host)))
    return wire::ApiError{421,
                          fmt::format("this server is not `{}`; if it is meant to be, start it with --allow-host {}",
                                      to_utf8(host), to_utf8(host_name(host))),
                          "invalid_request_error", "", "unknown_host"};
  if (!origin.empty() && lower_ascii(authority_of(origin)) != lower_ascii(host) && !allowed_origin(origin))
    return wire::ApiError{
        403,
        fmt::format("pages of `{0}` may not use this server; if they are meant to, start it with --allow-origin {0}",
                    to_utf8(origin)),
        "invalid_request_error", "", "foreign_origin"};
  return {};
}

bool Access::has_key(const net::ServerRequest& head) const {
  if (key_digests_.empty()) return true;
  const std::string_view given = head.header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (given.size() <= kBearer.size() || lower_ascii(given.substr(0, kBearer.size())) != kBearer) return false;
  const std::string digest = sha256(trim(given.substr(kBearer.size())));
  bool found = false;
  for (const std::string& known : key_digests_) found |= same_digest(known, digest);  // all of them, always
  return found;
}

net::Headers Access::cors(const net::ServerRequest& head) const {
  const std::string_view origin = head.header("origin");
  if (origin.empty() || !allowed_origin(origin)) return {};
  return {{"Access-Control-Allow-Origin", std::string(origin)}, {"Vary", "Origin"}};
}

}  // namespace retort::serve
