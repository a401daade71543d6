#include "verify/rule_kinds.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "verify/date.h"
#include "verify/number.h"
#include "verify/stated.h"

namespace retort::verify {
namespace {

using boost::multiprecision::cpp_rational;

// A judge that extracts by rule.extract and compares what was found.
template <class Same>
auto judged_by(const Rule& rule, std::string_view how, Same same) {
  return [extract = rule.extract, how = std::string(how), same](const Case& one) {
    Judgement out;
    out.answer = extract(one.reply);
    out.how = out.answer ? how : "no_answer";
    out.equal = out.answer && same(one.reference, out.answer->text);
    return out;
  };
}

std::optional<Number> number_of(std::string_view text) {
  if (text.size() > kMaxAnswerBytes) return std::nullopt;
  return read_number(undressed(text), true).number;
}

// The announced number (the first one, where more is said), else the last number of the reply.
std::optional<Answer> extract_number(std::string_view reply) {
  if (auto answer = announced(reply)) {
    if (number_of(answer->text)) return answer;
    if (auto first = first_number(answer->text)) return Answer{std::move(*first), answer->how};
  }
  const std::string body = strip_thought(reply).text;
  if (auto said = stated_quantity(body)) return Answer{std::move(*said), "stated"};
  if (auto last = last_number(body)) return Answer{std::move(*last), "last_number"};
  const std::string_view whole = trim(body);  // "negative \frac12"
  if (whole.size() <= kShortLine && number_of(whole)) return Answer{std::string(whole), "line"};
  return std::nullopt;
}

// What a text rule compares: the announced, labelled or whole answer.
std::optional<Answer> extract_text(std::string_view reply) {
  if (auto answer = announced(reply)) return answer;
  const std::string body = strip_thought(reply).text;
  std::string whole = undress(body);
  if (whole.empty()) return std::nullopt;
  return Answer{std::move(whole), "line"};
}

std::string text_of(std::string_view text) {
  std::string out;
  for (const char c : lower_ascii(undress(text.size() > kMaxAnswerBytes ? text : undressed(text)))) {
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  return out;
}

// Of a kind that stated.h reads: from the announced answer, else from the whole reply.
std::optional<Answer> extract_kind(Kind kind, std::string_view reply) {
  const auto said = announced(reply);
  const std::string scope = said ? said->text : strip_thought(reply).text;
  if (kind == Kind::Choice) {
    if (const char letter = choice_letter(undressed(scope.substr(0, kMaxAnswerBytes))); letter != '\0')
      return Answer{std::string(1, letter), said ? said->how : "line"};
  }
  auto found = stated(kind, scope);
  if (found && said) found->how = said->how;
  return found;
}

// The value of the last fenced block, of the whole text, or of what lies between the outermost brackets.
std::optional<Json> json_of(std::string_view text) {
  const auto parsed = [](std::string_view part) -> std::optional<Json> {
    auto json = parse_json(trim(part));
    if (!json.ok()) return std::nullopt;
    return std::move(*json);
  };
  if (const size_t close = text.rfind("```"); close != std::string_view::npos && close > 0) {
    if (const size_t open = text.rfind("```", close - 1); open != std::string_view::npos) {
      const size_t line = text.find('\n', open);
      if (line < close)
        if (auto json = parsed(text.substr(line, close - line))) return json;
    }
  }
  if (auto json = parsed(text)) return json;
  const size_t open = text.find_first_of("{["), end = text.find_last_of("}]");
  if (open == std::string_view::npos || end == std::string_view::npos || end < open) return std::nullopt;
  return parsed(text.substr(open, end + 1 - open));
}

// Members in the order of their names, so that equal values have one text; a whole number has no point.
Json sorted(const Json& value) {
  if (value.is_object()) {
    std::vector<std::pair<std::string, Json>> members;
    for (const auto& [name, member] : value.items()) members.emplace_back(name, sorted(member));
    std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    Json out = Json::object();
    auto& object = out.get_ref<Json::object_t&>();
    for (auto& [name, member] : members) object.emplace(std::move(name), std::move(member));
    return out;
  }
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& item : value) out.push_back(sorted(item));
    return out;
  }
  if (value.is_number_float()) {
    const double x = value.get<double>();
    if (x > -9e15 && x < 9e15 && x == static_cast<double>(static_cast<int64_t>(x))) return static_cast<int64_t>(x);
  }
  return value;
}

}  // namespace

std::optional<Answer> announced(std::string_view reply) {
  auto answer = extract_answer(reply);
  if (answer && (answer->how == "boxed" || answer->how == "hash" || answer->how == "phrase")) return answer;
  return std::nullopt;
}

Status make_auto(std::string_view, Rule& rule) {
  rule.judge = [](const Case& one) { return judge(one.reference, one.reply); };
  return {};
}

Status make_number(std::string_view argument, Rule& rule) {
  cpp_rational tolerance = 0;
  if (!argument.empty()) {
    const auto given = number_of(argument);
    if (!given || given->percent || given->value < 0)
      return fail(Code::Invalid, "`{}` is no tolerance; give a number, 0 or more, as in number:0.01", argument);
    tolerance = given->value;
  }
  rule.extract = extract_number;
  rule.accepts = [](std::string_view reference) -> Status {
    if (!number_of(reference_of(reference)))
      return fail(Code::Invalid, "the reference `{}` is no number", to_utf8(reference.substr(0, 80)));
    return {};
  };
  rule.judge = judged_by(rule, "number", [tolerance](std::string_view reference, std::string_view said) {
    const std::string want = reference_of(reference);
    if (equal(want, said).equal) return true;
    const auto a = number_of(want), b = number_of(said);
    if (!a || !b || a->percent != b->percent) return false;
    const cpp_rational apart = a->value - b->value;
    return apart <= tolerance && -apart <= tolerance;
  });
  return {};
}

Status make_text(std::string_view, Rule& rule) {
  rule.extract = extract_text;
  rule.judge = judged_by(rule, "text", [](std::string_view reference, std::string_view said) {
    return text_of(reference) == text_of(said);
  });
  return {};
}

Status make_contains(std::string_view, Rule& rule) {
  rule.judge = [](const Case& one) {
    Judgement out;
    out.answer = extract_text(one.reply);
    out.how = out.answer ? "contains" : "no_answer";
    out.equal = out.answer && contains_words(one.reply, one.reference);
    return out;
  };
  return {};
}

Status make_choice(std::string_view, Rule& rule) {
  rule.extract = [](std::string_view reply) { return extract_kind(Kind::Choice, reply); };
  rule.accepts = [](std::string_view reference) -> Status {
    if (choice_letter(undressed(reference.substr(0, kMaxAnswerBytes))) == '\0')
      return fail(Code::Invalid, "the reference `{}` is no letter from A to J", to_utf8(reference.substr(0, 80)));
    return {};
  };
  rule.judge = judged_by(rule, "choice", [](std::string_view reference, std::string_view said) {
    return choice_letter(undressed(reference.substr(0, kMaxAnswerBytes))) == choice_letter(said);
  });
  return {};
}

Status make_date(std::string_view, Rule& rule) {
  rule.extract = [](std::string_view reply) { return extract_kind(Kind::Date, reply); };
  rule.accepts = [](std::string_view reference) -> Status {
    if (!read_date(reference))
      return fail(Code::Invalid,
                  "the reference `{}` is no date with day, month and year that can be read in one way only",
                  to_utf8(reference.substr(0, 80)));
    return {};
  };
  rule.judge = judged_by(rule, "date", [](std::string_view reference, std::string_view said) {
    return read_date(reference) == read_date(said);
  });
  return {};
}

Status make_json(std::string_view, Rule& rule) {
  rule.extract = [](std::string_view reply) -> std::optional<Answer> {
    const auto value = json_of(strip_thought(reply).text);
    if (!value) return std::nullopt;
    return Answer{to_text(sorted(*value)), "json"};
  };
  rule.accepts = [](std::string_view reference) -> Status {
    if (auto json = parse_json(reference); !json.ok())
      return within(fmt::format("the reference `{}`", to_utf8(reference.substr(0, 80))), std::move(json).error());
    return {};
  };
  rule.judge = judged_by(rule, "json", [](std::string_view reference, std::string_view said) {
    const auto want = parse_json(reference);
    return want.ok() && to_text(sorted(*want)) == said;
  });
  return {};
}

}  // namespace retort::verify
