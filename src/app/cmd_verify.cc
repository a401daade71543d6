// `retort verify`: is this answer the same as that one? One pair on the command line, or JSON Lines.
#include <iostream>

#include <fmt/core.h>

#include "app/command.h"
#include "app/say.h"
#include "base/text.h"
#include "verify/rule.h"

namespace retort::app {
namespace {

Result<Json> verdict_of(const verify::Rule& rule, const std::string& gold, const std::string& pred) {
  RETORT_TRY(rule.accepts(gold));
  const verify::Judgement judgement = rule.judge({gold, pred, ""});
  if (!judgement.problem.empty()) return fail(Code::Unavailable, "the checker failed: {}", judgement.problem);
  Json out = {{"equal", judgement.equal}, {"how", judgement.how}};
  out["extracted"] = judgement.answer ? Json(judgement.answer->text) : Json(nullptr);
  out["extracted_by"] = judgement.answer ? Json(judgement.answer->how) : Json(nullptr);
  return out;
}

Result<Json> verify_line(verify::Rules& rules, const std::string& line) {
  RETORT_ASSIGN(const Json json, parse_json(line));
  RETORT_ASSIGN(const std::string gold, need_string(json, "gold"));
  RETORT_ASSIGN(const std::string pred, need_string(json, "pred"));
  RETORT_ASSIGN(const std::string own, get_string(json, "rule", ""));
  RETORT_ASSIGN(const verify::Rule* rule, rules.of(own));
  return verdict_of(*rule, gold, pred);
}

Result<int> verify_lines(verify::Rules& rules) {
  int64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    if (trim(line).empty()) continue;
    auto out = verify_line(rules, line);
    if (!out.ok()) return within(fmt::format("standard input line {}", number), std::move(out).error());
    say("{}\n", to_text(*out));
  }
  return 0;
}

}  // namespace

Command verify_command() {
  return {"verify", "compare answers: {gold, pred} to {equal, how}",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            struct State {
              bool json = false;
              std::string gold, pred, rule = "auto";
            };
            auto state = std::make_shared<State>();
            cli.add_flag("--json", state->json,
                         "read {gold, pred} a line from standard input, write {equal, how, extracted} a line");
            cli.add_option("--rule", state->rule, "how answers are judged; a line's own `rule` goes before it [auto]")
                ->type_name("RULE");
            std::string list = "Rules:\n";
            for (const verify::RuleHelp& rule : verify::rule_list())
              list += fmt::format(
                  "  {:<27} {}\n",
                  fmt::format("{}{}", rule.name, rule.argument.empty() ? "" : fmt::format("[{}]", rule.argument)),
                  rule.help);
            cli.footer(list + "docs/answers.md says what each takes for right.");
            cli.add_option("gold", state->gold, "the reference answer");
            cli.add_option("pred", state->pred, "the text to judge");
            return [state]() -> Result<int> {
              RETORT_ASSIGN(verify::Rules rules, verify::Rules::open(state->rule));
              if (state->json) return verify_lines(rules);
              if (state->gold.empty() || state->pred.empty())
                return fail(Code::Invalid,
                            "verify needs GOLD and PRED, or --json with {{gold, pred}} lines on standard input");
              RETORT_ASSIGN(const verify::Rule* rule, rules.of(""));
              RETORT_ASSIGN(const Json out, verdict_of(*rule, state->gold, state->pred));
              say("{} ({})\n", out["equal"].get<bool>() ? "equal" : "different", out["how"].get<std::string>());
              return out["equal"].get<bool>() ? 0 : 1;
            };
          }};
}

}  // namespace retort::app
