// `retort permission new` and `retort permission check FILE`: help with the record without which nothing is collected.
// It remains the user's own statement: what is written here is a form, and a check that it is complete and current.
#include <fmt/core.h>

#include "app/command.h"
#include "base/env.h"
#include "base/text.h"
#include "collect/permission.h"

namespace retort::app {
namespace {

struct Arguments {
  std::string action, file, endpoint, out, expires = "never", uses;
  collect::Permission record;
  bool json = false;
};

Result<int> write_new(const Arguments& a, Env& env) {
  RETORT_TRY(collect::check_endpoint(a.endpoint));
  collect::Permission record = a.record;
  record.endpoint = a.endpoint;
  record.date = utc_date(env.wall_us());
  record.expires = a.expires;
  for (const std::string_view use : split(a.uses, ','))
    if (!trim(use).empty()) record.allowed_uses.emplace_back(trim(use));
  if (record.clause.empty()) record.clause = collect::licence_clause(record.licence);
  const std::string text = collect::permission_text(record);
  if (a.out.empty()) {
    fmt::print("{}", text);
    return 0;
  }
  if (env.read_file(a.out).ok()) return fail(Code::Invalid, "{} exists; name another file, or remove it first", a.out);
  RETORT_TRY(env.write_file(a.out, text));
  fmt::print("{}: fill in what is empty, then `retort permission check {}`\n", a.out, a.out);
  return 0;
}

Result<int> check(const Arguments& a, Env& env) {
  if (a.file.empty()) return fail(Code::Invalid, "name the record: retort permission check FILE");
  RETORT_ASSIGN(const std::string text, env.read_file(a.file));
  auto parsed = collect::parse_permission(text);
  if (!parsed.ok()) return within(a.file, std::move(parsed).error());
  const collect::Permission& p = *parsed;
  const std::vector<std::string> faults = collect::permission_faults(p, a.endpoint, env.wall_us());
  if (a.json) {
    fmt::print("{}\n", to_text(Json{{"permits", faults.empty()},
                                    {"name", p.name},
                                    {"endpoint", p.endpoint},
                                    {"expires", p.expires},
                                    {"hash", p.hash},
                                    {"faults", faults}}));
    return faults.empty() ? 0 : 1;
  }
  if (faults.empty()) {
    fmt::print("permits: training another model on text of {} ({}), under {}, {}\n", p.name,
               p.endpoint == collect::kImportEndpoint ? "published text" : p.endpoint,
               trim(p.licence).empty() ? p.terms : p.licence,
               p.expires == "never" ? "without an end" : "until " + p.expires);
    fmt::print("  read on {} by {}: {}\n", p.date, p.checked_by, p.evidence);
    return 0;
  }
  fmt::print("does not permit collecting{}:\n", a.endpoint.empty() ? "" : " from " + a.endpoint);
  for (const std::string& fault : faults) fmt::print("  - {}\n", fault);
  return 1;
}

}  // namespace

Command permission_command() {
  return {"permission", "write or check the record that says why a teacher's text may be learned from",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto a = std::make_shared<Arguments>();
            cli.add_option("action", a->action, "new or check")->required();
            cli.add_option("file", a->file, "the record that `check` reads");
            cli.add_option("--endpoint", a->endpoint,
                           "the teacher's base URL (`:*` allows any port), or `import` for published text")
                ->type_name("URL");
            cli.add_option("--name", a->record.name, "new: the teacher, as traces and cards shall name it");
            cli.add_option("--licence", a->record.licence, "new: SPDX name of the model's or the text's licence");
            cli.add_option("--terms", a->record.terms, "new: name and version of the terms of service");
            cli.add_option("--clause", a->record.clause, "new: the words that allow it, quoted");
            cli.add_option("--evidence", a->record.evidence, "new: where the words can be read");
            cli.add_option("--checked-by", a->record.checked_by, "new: who read them");
            cli.add_option("--uses", a->uses, "new: `distillation`, if the clause allows it");
            cli.add_option("--expires", a->expires, "new: the last day it holds [never]")->type_name("DATE");
            cli.add_option("--out", a->out, "new: write it to this file, which must not exist")->type_name("FILE");
            cli.add_flag("--json", a->json, "check: one JSON object");
            return [a]() -> Result<int> {
              if (a->action == "new") return write_new(*a, system_env());
              if (a->action == "check") return check(*a, system_env());
              return fail(Code::Invalid, "`{}` is no action; choose new or check", a->action);
            };
          }};
}

}  // namespace retort::app
