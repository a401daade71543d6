#include "collect/permission.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/options.h"
#include "base/text.h"

namespace retort::collect {
namespace {

// "2026-01-31": ten characters whose order is the order of days.
bool is_date(std::string_view text) {
  if (text.size() != 10) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 4 || i == 7;
    if (dash ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
  }
  const int month = (text[5] - '0') * 10 + text[6] - '0', day = (text[8] - '0') * 10 + text[9] - '0';
  return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

struct Address {
  std::string scheme, host, port, path;
};

// True where a client would take out segments `.` or `..` and ask another path than the text shows.
bool has_detour(std::string_view path) {
  std::string plain = replace_all(lower_ascii(path), "%2e", ".");
  for (const char* slash : {"%2f", "%5c", "\\"}) plain = replace_all(plain, slash, "/");
  for (const std::string_view segment : split(plain, '/')) {
    if (segment == "." || segment == "..") return true;
  }
  return false;
}

Address split_address(std::string_view url) {
  Address out;
  url = url.substr(0, url.find_first_of("?#"));  // a query is no part of where the API is
  const size_t mark = url.find("://");
  if (mark != std::string_view::npos) {
    out.scheme = lower_ascii(url.substr(0, mark));
    url.remove_prefix(mark + 3);
  }
  const size_t slash = std::min(url.find('/'), url.size());
  std::string_view host = url.substr(0, slash);
  out.path = std::string(url.substr(slash));
  while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    out.port = std::string(host.substr(colon + 1));
    host = host.substr(0, colon);
  } else {
    out.port = out.scheme == "https" ? "443" : "80";
  }
  out.host = lower_ascii(host);
  if (out.host == "127.0.0.1" || out.host == "[::1]") out.host = "localhost";  // this machine by any of its names
  return out;
}

bool is_below(const Address& upper, const Address& lower) {
  if (upper.scheme != lower.scheme || upper.host != lower.host || (upper.port != "*" && upper.port != lower.port))
    return false;
  return !has_detour(lower.path) && lower.path.compare(0, upper.path.size(), upper.path) == 0 &&
         (lower.path.size() == upper.path.size() || lower.path[upper.path.size()] == '/');
}

// What is wrong with the endpoint, and the nearest way to put it right.
std::string wrong_endpoint(const std::string& recorded, const std::string& used) {
  const std::string said = fmt::format("it is for the endpoint `{}`, not for `{}`", recorded, used);
  const Address a = split_address(recorded), b = split_address(used);
  if (a.scheme.empty() || b.scheme.empty()) {
    if (recorded == kImportEndpoint) return said + "; it permits importing published text, not asking an API";
    if (used == kImportEndpoint) return said + "; write `endpoint: import` in the record of a published text";
    return said + "; both are URLs that begin with http:// or https://";
  }
  if (a.host != b.host) return said + "; use the record of this teacher";
  if (a.scheme != b.scheme) return fmt::format("{}: `{}` against `{}`", said, a.scheme, b.scheme);
  if (a.port != "*" && a.port != b.port)
    return fmt::format("{}: port {} against {}; `:*` in the record allows any port", said, a.port, b.port);
  if (b.path.empty() || a.path.starts_with(b.path + "/"))
    return fmt::format("{}: `{}` is missing at the endpoint's end", said, a.path.substr(b.path.size()));
  return fmt::format("{}: path `{}` against `{}`", said, a.path, b.path);
}

// A member's value as YAML reads it back, whatever stands in it.
std::string in_quotes(const std::string& value) { return to_text(Json(value)); }

}  // namespace

bool endpoint_matches(std::string_view recorded, std::string_view used) {
  if (recorded.find("://") == std::string_view::npos || used.find("://") == std::string_view::npos)
    return recorded == used;
  return is_below(split_address(recorded), split_address(used));
}

Result<Permission> parse_permission(std::string_view yaml) {
  RETORT_ASSIGN(const Json json, parse_yaml(yaml));
  if (!json.is_object()) return fail(Code::Invalid, "a permission record must be a map");
  Permission out;
  std::vector<std::string> known;
  out.fields([&](std::string_view name, auto&, std::string_view) { known.emplace_back(name); });
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string close = nearest(key, known);
    return fail(Code::Invalid, "it has no member `{}`; {}", key,
                close.empty() ? fmt::format("its members are {}", fmt::join(known, ", "))
                              : fmt::format("did you mean `{}`?", close));
  }
  RETORT_TRY(load_options(out, json));
  out.hash = sha256(yaml);
  return out;
}

Status check_endpoint(std::string_view endpoint) {
  const size_t mark = endpoint.find("://");
  if (mark == std::string_view::npos) return {};
  const std::string_view host = endpoint.substr(mark + 3, endpoint.find_first_of("/?#", mark + 3) - mark - 3);
  if (host.find('@') != std::string_view::npos)
    return fail(Code::Invalid,
                "the endpoint holds a user name or a password; take it out, and give the key by RETORT_API_KEY, "
                "--key-file or `headers`, which are never shown");
  return {};
}

std::vector<std::string> permission_faults(const Permission& p, const std::string& endpoint, int64_t wall_us) {
  if (const Status fine = check_endpoint(endpoint); !fine.ok()) return {fine.error().message};
  std::vector<std::string> faults;
  const std::pair<const char*, const std::string*> needed[] = {
      {"name", &p.name},         {"endpoint", &p.endpoint},     {"clause", &p.clause},
      {"evidence", &p.evidence}, {"checked_by", &p.checked_by}, {"date", &p.date},
      {"expires", &p.expires}};
  for (const auto& [key, value] : needed) {
    if (trim(*value).empty()) faults.push_back(fmt::format("`{}` is missing or empty; write it", key));
  }
  if (trim(p.licence).empty() && trim(p.terms).empty())
    faults.emplace_back("neither `licence` nor `terms` is given; write the one under which the text may be used");
  if (std::find(p.allowed_uses.begin(), p.allowed_uses.end(), "distillation") == p.allowed_uses.end())
    faults.emplace_back(
        "`allowed_uses` does not contain `distillation`: this teacher's text may not train another model. If its "
        "licence or terms do allow that, write `allowed_uses: [distillation]` with the clause and the evidence");
  const bool dated = is_date(p.date), ends = !trim(p.expires).empty() && p.expires != "never";
  if (!trim(p.date).empty() && !dated)
    faults.push_back(fmt::format("`date` is `{}`; write a day such as 2026-01-31", p.date));
  if (ends && !is_date(p.expires))
    faults.push_back(fmt::format("`expires` is `{}`; write a day such as 2026-12-31, or `never`", p.expires));
  const std::string today = utc_date(wall_us);
  if (dated && p.date > today)
    faults.push_back(fmt::format("`date` is {}, but today is {}; write the day the terms were read", p.date, today));
  if (ends && is_date(p.expires) && p.expires < today)
    faults.push_back(fmt::format(
        "it expired on {} (today is {}); read the terms again and write a new `date` and `expires`", p.expires, today));
  if (!endpoint.empty() && !trim(p.endpoint).empty() && !endpoint_matches(p.endpoint, endpoint))
    faults.push_back(wrong_endpoint(p.endpoint, endpoint));
  return faults;
}

Status check_permission(const Permission& p, const std::string& endpoint, int64_t wall_us) {
  const std::vector<std::string> faults = permission_faults(p, endpoint, wall_us);
  if (faults.empty()) return {};
  if (faults.size() == 1) return fail(Code::Invalid, "{}", faults.front());
  return fail(Code::Invalid, "{} (and {} more: `retort permission check FILE` lists them)", faults.front(),
              faults.size() - 1);
}

std::string_view licence_clause(std::string_view licence) {
  if (licence == "Apache-2.0")
    return "a perpetual, worldwide, non-exclusive, no-charge, royalty-free, irrevocable copyright license to "
           "reproduce, "
           "prepare Derivative Works of";
  if (licence == "MIT")
    return "to deal in the Software without restriction, including without limitation the rights to use, copy, modify, "
           "merge, publish, distribute, sublicense";
  return "";
}

std::string permission_text(const Permission& p) {
  std::string uses;
  for (const std::string& use : p.allowed_uses) uses += (uses.empty() ? "" : ", ") + in_quotes(use);
  return fmt::format(
      "name: {}   # the teacher, as traces and cards shall name it\n"
      "endpoint: {}\n"
      "licence: {}   # SPDX name of the model's or the text's licence, such as Apache-2.0; or leave it and give:\n"
      "terms: {}   # name and version of the terms of service\n"
      "clause: {}   # the words that allow training another model on its output, quoted\n"
      "evidence: {}   # where they can be read\n"
      "checked_by: {}   # who read them\n"
      "date: {}   # when\n"
      "allowed_uses: [{}]   # [distillation] if the clause allows it\n"
      "expires: {}   # never, or the last day it holds\n",
      in_quotes(p.name), in_quotes(p.endpoint), in_quotes(p.licence), in_quotes(p.terms), in_quotes(p.clause),
      in_quotes(p.evidence), in_quotes(p.checked_by), in_quotes(p.date), uses, in_quotes(p.expires));
}

Result<Permission> load_permission(const std::string& path, const std::string& endpoint, Env& env) {
  RETORT_TRY(check_endpoint(endpoint));
  if (path.empty()) {
    Permission blank;
    blank.endpoint = endpoint;
    blank.date = utc_date(env.wall_us());
    blank.expires = "never";
    return fail(Code::Invalid,
                "no permission record is given for `{}`; name one with --permission FILE. It has this form "
                "(`retort permission new` writes one):\n\n{}",
                endpoint, permission_text(blank));
  }
  auto text = env.read_file(path);
  if (!text.ok())
    return fail(text.error().code,
                "the permission record: {}; `retort permission new --endpoint {} --out {}` begins one",
                text.error().message, endpoint, path);
  auto permission = parse_permission(*text);
  if (!permission.ok()) return within("permission record " + path, std::move(permission).error());
  Status checked = check_permission(*permission, endpoint, env.wall_us());
  if (!checked.ok()) return within("permission record " + path, std::move(checked).error());
  return permission;
}

}  // namespace retort::collect
