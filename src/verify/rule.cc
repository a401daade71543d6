#include "verify/rule.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "verify/rule_kinds.h"
#include "verify/stated.h"

namespace retort::verify {
namespace {

struct Entry {
  RuleHelp help;
  Status (*make)(std::string_view argument, Rule& rule);
};

constexpr Entry kRules[] = {
    {{"auto", "", "by the kind of the reference: number, date, choice, yes or no, text"}, make_auto},
    {{"number", ":TOLERANCE", "the announced or last number; exact, or within the tolerance"}, make_number},
    {{"text", "", "the announced or whole answer, without regard to case, spaces and closing marks"}, make_text},
    {{"contains", "", "the reference stands in the answer as whole words"}, make_contains},
    {{"choice", "", "a letter A to J"}, make_choice},
    {{"date", "", "the same day, however it is written"}, make_date},
    {{"regex", ":PATTERN", "the reference is a pattern to be found; or what PATTERN finds is compared"}, make_regex},
    {{"json", "", "the same JSON value, order of members and spaces left aside"}, make_json},
    {{"command", ":PROGRAM ARGUMENTS", "a program of your own decides"}, make_command},
};

}  // namespace

std::vector<RuleHelp> rule_list() {
  std::vector<RuleHelp> out;
  for (const Entry& entry : kRules) out.push_back(entry.help);
  return out;
}

Result<Rule> parse_rule(std::string_view text, From from) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view argument = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  std::vector<std::string> names;
  for (const Entry& entry : kRules) {
    names.emplace_back(entry.help.name);
    if (name != entry.help.name) continue;
    if (colon != std::string_view::npos && (entry.help.argument.empty() || argument.empty()))
      return fail(Code::Invalid, "the rule `{}`: {}", text,
                  argument.empty() ? "nothing follows the colon" : fmt::format("`{}` takes no argument", name));
    if (from == From::Record && name == "command")
      return fail(Code::Invalid,
                  "the rule `{}` comes with the data, and data must not name a program to run; give it "
                  "as the option `rule` if you trust it",
                  to_utf8(text));
    Rule rule;
    rule.text = std::string(text);
    rule.accepts = [](std::string_view) { return Status(); };
    rule.extract = extract_answer;
    if (Status made = entry.make(argument, rule); !made.ok())
      return within(fmt::format("the rule `{}`", to_utf8(text)), std::move(made).error());
    return rule;
  }
  const std::string near = nearest(name, names);
  std::string known;
  for (const std::string& one : names) known += (known.empty() ? "" : ", ") + one;
  return fail(Code::Invalid, "there is no rule `{}`; {}", to_utf8(name),
              near.empty() ? "the rules are " + known : fmt::format("did you mean `{}`?", near));
}

Result<Rules> Rules::open(std::string_view text) {
  RETORT_ASSIGN(Rule rule, parse_rule(text, From::User));
  Rules out;
  out.rules_.push_back(std::move(rule));
  return out;
}

Result<const Rule*> Rules::of(const std::string& own) {
  if (own.empty()) return const_cast<const Rule*>(&rules_.front());
  for (const Rule& rule : rules_)
    if (rule.text == own) return &rule;
  RETORT_ASSIGN(Rule rule, parse_rule(own, From::Record));
  constexpr size_t kKept = 64;  // of patterns that differ from record to record the last is kept
  if (rules_.size() >= kKept) rules_.pop_back();
  rules_.push_back(std::move(rule));
  return const_cast<const Rule*>(&rules_.back());
}

bool contains_words(std::string_view reply, std::string_view reference) {
  // Runs of white space are one space, letters lower case.
  const auto plain = [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
      if (!space)
        out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      else if (!out.empty() && out.back() != ' ')
        out += ' ';
    }
    while (out.ends_with(' ')) out.pop_back();
    return out;
  };
  const auto word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<uint8_t>(c) >= 0x80;
  };
  const std::string want = plain(reference), text = plain(strip_thought(reply).text);
  constexpr size_t kMost = 1024;  // a longer reference is no phrase to look for
  if (want.empty() || want.size() > kMost) return false;
  for (size_t at = text.find(want); at != std::string::npos; at = text.find(want, at + 1)) {
    const size_t end = at + want.size();
    // A sign, a point or a comma between digits goes on the number: 12 is not in 3.12 nor in 12,000.
    const auto goes_on = [&](size_t mark, size_t beyond) {
      return std::string_view(".,").find(text[mark]) != std::string_view::npos && beyond < text.size() &&
             std::isdigit(static_cast<unsigned char>(text[beyond])) != 0;
    };
    const bool digit_first = std::isdigit(static_cast<unsigned char>(want.front())) != 0;
    const bool digit_last = std::isdigit(static_cast<unsigned char>(want.back())) != 0;
    bool free = true;
    if (at > 0 && word(want.front())) free = !word(text[at - 1]);
    if (free && digit_first && at > 0 && text[at - 1] == '-' && (at == 1 || text[at - 2] == ' ')) free = false;
    if (free && digit_first && at > 1 && goes_on(at - 1, at - 2)) free = false;
    if (free && end < text.size() && word(want.back())) free = !word(text[end]);
    if (free && digit_last && end < text.size() && goes_on(end, end + 1)) free = false;
    if (free) return true;
  }
  return false;
}

void StrictHint::wrong(const Rule& rule, std::string_view reference, std::string_view reply,
                       const Judgement& judgement) {
  if (rule.text == "contains" || rule.text.starts_with("command")) return;
  ++wrong_;
  if (!contains_words(reply, reference)) return;
  ++hold_;
  if (!example_.empty()) return;
  const auto excerpt = [](std::string_view text) {
    std::string out = to_utf8(trim(text));
    for (char& c : out)
      if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
    constexpr size_t kMost = 120;
    if (out.size() > kMost) out = out.substr(0, utf8_complete_prefix(std::string_view(out).substr(0, kMost))) + "...";
    return out;
  };
  const Kind kind = kind_of(reference_of(reference));
  const std::string_view better = kind == Kind::Date && rule.text != "date"       ? "date"
                                  : kind == Kind::Choice && rule.text != "choice" ? "choice"
                                                                                  : "contains";
  example_ = fmt::format(
      "`{}`, of which the rule `{}` read `{}`; the reference is `{}`. If such answers are right, set `rule` "
      "to `{}` (docs/answers.md)",
      excerpt(strip_thought(reply).text), rule.text, judgement.answer ? excerpt(judgement.answer->text) : "nothing",
      excerpt(reference), better);
}

std::string StrictHint::text() const {
  if (hold_ == 0 || hold_ * 2 <= wrong_) return "";
  return fmt::format("{} of {} answers taken for wrong hold their reference, as {}", hold_, wrong_, example_);
}

}  // namespace retort::verify
