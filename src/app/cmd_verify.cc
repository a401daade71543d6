// `retort verify`: is this answer the same as that one? One pair on the command line, or JSON Lines.
#include <iostream>

#include <fmt/core.h>

#include "app/command.h"
#include "base/text.h"
#include "verify/judge.h"

namespace retort::app {
namespace {

Json verdict_of(const std::string& gold, const std::string& pred) {
  const verify::Judgement judgement = verify::judge(gold, pred);
  Json out = {{"equal", judgement.equal}, {"how", judgement.how}};
  out["extracted"] = judgement.answer ? Json(judgement.answer->text) : Json(nullptr);
  out["extracted_by"] = judgement.answer ? Json(judgement.answer->how) : Json(nullptr);
  return out;
}

Result<int> verify_lines() {
  int64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    if (trim(line).empty()) continue;
    const auto where = fmt::format("standard input line {}", number);
    auto json = parse_json(line);
    if (!json.ok()) return within(where, std::move(json).error());
    auto gold = need_string(*json, "gold");
    if (!gold.ok()) return within(where, std::move(gold).error());
    auto pred = need_string(*json, "pred");
    if (!pred.ok()) return within(where, std::move(pred).error());
    fmt::print("{}\n", to_text(verdict_of(*gold, *pred)));
  }
  return 0;
}

}  // namespace

Command verify_command() {
  return {"verify", "compare answers: {gold, pred} to {equal, how}",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            struct State {
              bool json = false;
              std::string gold, pred;
            };
            auto state = std::make_shared<State>();
            cli.add_flag("--json", state->json,
                         "read {gold, pred} a line from standard input, write {equal, how, extracted} a line");
            cli.add_option("gold", state->gold, "the reference answer");
            cli.add_option("pred", state->pred, "the text to judge");
            return [state]() -> Result<int> {
              if (state->json) return verify_lines();
              if (state->gold.empty() || state->pred.empty())
                return fail(Code::Invalid,
                            "verify needs GOLD and PRED, or --json with {{gold, pred}} lines on standard input");
              const Json out = verdict_of(state->gold, state->pred);
              fmt::print("{} ({})\n", out["equal"].get<bool>() ? "equal" : "different", out["how"].get<std::string>());
              return out["equal"].get<bool>() ? 0 : 1;
            };
          }};
}

}  // namespace retort::app
