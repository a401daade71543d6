// Rule: how a reply is held against a reference answer: a name, where it takes one with an argument (`regex:PATTERN`).
// The table of all rules is in rule.cc; docs/answers.md describes them for users. A rule that a record brings along
// comes from outside: it may match patterns within bounds, but never name a program to run.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "verify/judge.h"

namespace retort::verify {

// One reply to judge. The texts must outlive the call.
struct Case {
  std::string_view reference, reply;
  std::string_view question;  // for checkers; may be empty
};

struct Rule {
  std::string text;  // as written: "number:0.01"
  std::function<Judgement(const Case&)> judge;
  // Invalid where this reference cannot be judged by the rule, as "soon" by `number`.
  std::function<Status(std::string_view reference)> accepts;
  // What is voted on where there is no reference.
  std::function<std::optional<Answer>(std::string_view reply)> extract;
};

enum class From { User, Record };
// Errors: Invalid, naming the rules there are, a faulty argument, or a record's `command`.
Result<Rule> parse_rule(std::string_view text, From from);

// The rules that a run uses: its own one, and those that records name, each parsed once.
class Rules {
 public:
  // `text` is the user's.
  static Result<Rules> open(std::string_view text);
  // The rule of a record that names `own`, or the run's where it names none; valid up to the next call. Errors:
  // parse_rule's.
  Result<const Rule*> of(const std::string& own);

 private:
  Rules() = default;
  std::vector<Rule> rules_;  // the run's first
};

struct RuleHelp {
  std::string_view name, argument, help;
};
// For help texts and docs, in the table's order.
std::vector<RuleHelp> rule_list();

// Whether `reference` stands in `reply` (its thought left out) as whole words: what `contains` asks, and what tells
// that a rule is too strict for a set.
bool contains_words(std::string_view reply, std::string_view reference);

// What a run says when most answers that it took for wrong hold their reference: counts them, keeps one as example.
class StrictHint {
 public:
  void wrong(const Rule& rule, std::string_view reference, std::string_view reply, const Judgement& judgement);
  // "" where few do.
  std::string text() const;

 private:
  int64_t wrong_ = 0, hold_ = 0;
  std::string example_;
};

}  // namespace retort::verify
