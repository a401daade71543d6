// Permission: the record that says why this teacher's text may be used to train another model. Nothing is collected or
// imported without one; its hash goes into every trace. It is the user's own statement, kept with its evidence: retort
// checks that it is complete, current and made for this endpoint, and cannot check that it is true.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"

namespace retort::collect {

struct Permission {
  std::string name;
  std::string endpoint;
  std::string licence;
  std::string terms;
  std::string clause;
  std::string evidence;
  std::string checked_by;
  std::string date;
  std::vector<std::string> allowed_uses;
  std::string expires;
  std::string hash;  // SHA-256 of the file's bytes; not a member of the file

  template <class V>
  void fields(V&& v) {
    v("name", name, "the teacher, as it shall be named in traces and cards");
    v("endpoint", endpoint, "base URL that it is reached at (`:*` allows any port), or `import` for published text");
    v("licence", licence, "SPDX name of the licence of the model or the text; this or `terms`");
    v("terms", terms, "name and version of the terms of service; this or `licence`");
    v("clause", clause, "the words that allow it, quoted");
    v("evidence", evidence, "where the words can be read: an address or a file");
    v("checked_by", checked_by, "who read them");
    v("date", date, "when, as 2026-01-31");
    v("allowed_uses", allowed_uses, "what is allowed; `distillation` must be among them");
    v("expires", expires, "last day it holds, as 2026-12-31, or `never`");
  }
};

inline constexpr std::string_view kImportEndpoint = "import";

// Errors: Invalid, naming the member; unknown members are refused with the nearest known one.
Result<Permission> parse_permission(std::string_view yaml);
// Refuses (Invalid) an endpoint with a password in it, without showing it: it would go into messages and stamps.
Status check_endpoint(std::string_view endpoint);
// All that keeps the record from permitting distillation through `endpoint` ("" leaves that open) at `wall_us`, each as
// a sentence that says what to write: members that are missing, no leave for distillation, dates that do not hold,
// another endpoint. Empty: it permits.
std::vector<std::string> permission_faults(const Permission& permission, const std::string& endpoint, int64_t wall_us);
// Invalid with the first of them.
Status check_permission(const Permission& permission, const std::string& endpoint, int64_t wall_us);
// The record in the file, checked; errors name the file. No file given: the message holds a record to fill in.
Result<Permission> load_permission(const std::string& path, const std::string& endpoint, Env& env);
// The record as a commented YAML file; parse_permission() reads it back.
std::string permission_text(const Permission& permission);

// The words of a licence (SPDX name) that allow learning from a work under it, "" for a licence that is not known here.
std::string_view licence_clause(std::string_view licence);

// True where `used` is the recorded endpoint or below it. Scheme and host are compared without case, localhost,
// 127.0.0.1 and [::1] are one host, a missing port is the scheme's own, `*` is any port, a trailing slash means
// nothing, nor does a query. A path with `.` or `..` in it is below nothing.
bool endpoint_matches(std::string_view recorded, std::string_view used);

}  // namespace retort::collect
