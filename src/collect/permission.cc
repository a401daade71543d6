#include "collect/permission.h"

#include <algorithm>
#include <utility>

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
  return out;
}

}  // namespace

bool endpoint_matches(std::string_view recorded, std::string_view used) {
  if (recorded.find("://") == std::string_view::npos || used.find("://") == std::string_view::npos)
    return recorded == used;
  const Address a = split_address(recorded), b = split_address(used);
  if (a.scheme != b.scheme || a.host != b.host || (a.port != "*" && a.port != b.port)) return false;
  return !has_detour(b.path) && b.path.compare(0, a.path.size(), a.path) == 0 &&
         (b.path.size() == a.path.size() || b.path[a.path.size()] == '/');
}

Result<Permission> parse_permission(std::string_view yaml) {
  RETORT_ASSIGN(const Json json, parse_yaml(yaml));
  if (!json.is_object()) return fail(Code::Invalid, "a permission record must be a map");
  Permission out;
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

Status check_permission(const Permission& p, const std::string& endpoint, int64_t wall_us) {
  RETORT_TRY(check_endpoint(endpoint));
  const std::pair<const char*, const std::string*> needed[] = {
      {"name", &p.name},         {"endpoint", &p.endpoint},     {"clause", &p.clause},
      {"evidence", &p.evidence}, {"checked_by", &p.checked_by}, {"date", &p.date},
      {"expires", &p.expires}};
  for (const auto& [key, value] : needed) {
    if (trim(*value).empty()) return fail(Code::Invalid, "`{}` is missing or empty; write it", key);
  }
  if (trim(p.licence).empty() && trim(p.terms).empty())
    return fail(Code::Invalid,
                "neither `licence` nor `terms` is given; write the one under which the text may be used");
  if (std::find(p.allowed_uses.begin(), p.allowed_uses.end(), "distillation") == p.allowed_uses.end())
    return fail(
        Code::Invalid,
        "`allowed_uses` does not contain `distillation`: this teacher's text may not train another model. If its "
        "licence or terms do allow that, write `allowed_uses: [distillation]` with the clause and the evidence");
  if (!is_date(p.date)) return fail(Code::Invalid, "`date` is `{}`; write a day such as 2026-01-31", p.date);
  if (p.expires != "never" && !is_date(p.expires))
    return fail(Code::Invalid, "`expires` is `{}`; write a day such as 2026-12-31, or `never`", p.expires);
  const std::string today = utc_date(wall_us);
  if (p.date > today)
    return fail(Code::Invalid, "`date` is {}, but today is {}; write the day the terms were read", p.date, today);
  if (p.expires != "never" && p.expires < today)
    return fail(Code::Invalid,
                "it expired on {} (today is {}); read the terms again and write a new `date` and `expires`", p.expires,
                today);
  if (!endpoint_matches(p.endpoint, endpoint))
    return fail(Code::Invalid, "it is for the endpoint `{}`, not for `{}`; use the record of this teacher", p.endpoint,
                endpoint);
  return {};
}

std::string permission_template(const std::string& endpoint, int64_t wall_us) {
  return fmt::format(
      "name: \"\"             # the teacher, as traces and cards shall name it\n"
      "endpoint: {}\n"
      "licence: \"\"          # SPDX name, such as Apache-2.0; or leave it and give:\n"
      "terms: \"\"            # name and version of the terms of service\n"
      "clause: \"\"           # the words that allow training on its output, quoted\n"
      "evidence: \"\"         # where they can be read\n"
      "checked_by: \"\"       # who read them\n"
      "date: {}\n"
      "allowed_uses: []     # write [distillation] if the clause allows it\n"
      "expires: never       # or the last day it holds\n",
      endpoint, utc_date(wall_us));
}

Result<Permission> load_permission(const std::string& path, const std::string& endpoint, Env& env) {
  RETORT_TRY(check_endpoint(endpoint));
  const auto refuse = [&](Error error) {
    error.message += fmt::format("\nA permission record for this teacher has this form:\n\n{}",
                                 permission_template(endpoint, env.wall_us()));
    return error;
  };
  if (path.empty())
    return refuse(
        fail(Code::Invalid, "no permission record is given for `{}`; name one with --permission FILE", endpoint));
  auto text = env.read_file(path);
  if (!text.ok()) return refuse(within("the permission record", std::move(text).error()));
  auto permission = parse_permission(*text);
  if (!permission.ok()) return refuse(within("permission record " + path, std::move(permission).error()));
  Status checked = check_permission(*permission, endpoint, env.wall_us());
  if (!checked.ok()) return refuse(within("permission record " + path, std::move(checked).error()));
  return permission;
}

}  // namespace retort::collect
