#include "tasks/templates.h"

#include <cctype>

#include "base/check.h"
#include "base/text.h"

namespace retort::tasks {
namespace {

constexpr size_t kMostDigits = 6;

bool is_number_slot(char slot) { return slot >= 'a' && slot <= 'd'; }

bool slot_char(char slot, char c) {
  const auto u = static_cast<unsigned char>(c);
  return is_number_slot(slot) ? std::isdigit(u) != 0 : std::isalpha(u) != 0;
}

bool is_one_of(const std::vector<std::string>& words, const std::string& word) {
  for (const std::string& w : words) {
    if (w == word) return true;
  }
  return false;
}

std::optional<Slots> match(std::string_view form, std::string_view text) {
  Slots slots;
  size_t at = 0;
  for (size_t i = 0; i < form.size();) {
    if (form[i] != '{') {
      if (at >= text.size() || text[at] != form[i]) return std::nullopt;
      ++at;
      ++i;
      continue;
    }
    const char slot = form[i + 1];
    i += 3;  // "{x}"
    const size_t begin = at;
    while (at < text.size() && slot_char(slot, text[at])) ++at;
    std::string value(text.substr(begin, at - begin));
    if (value.empty() || (is_number_slot(slot) && value.size() > kMostDigits)) return std::nullopt;
    if ((slot == 'n' || slot == 'm') && !is_one_of(people(), value)) return std::nullopt;
    if (slot == 'o' && !is_one_of(things(), value)) return std::nullopt;
    const auto [it, fresh] = slots.emplace(slot, value);
    if (!fresh && it->second != value) return std::nullopt;
  }
  if (at != text.size()) return std::nullopt;
  return slots;
}

}  // namespace

const std::vector<std::string>& people() {
  static const std::vector<std::string> names = {"Mia", "Tom", "Ana", "Ben", "Lily", "Sam", "Omar", "Zoe"};
  return names;
}

const std::vector<std::string>& things() {
  static const std::vector<std::string> names = {"apples", "pens",   "coins",  "books",
                                                 "cards",  "shells", "stamps", "marbles"};
  return names;
}

const std::vector<Template>& templates() {
  static const std::vector<Template> all = {
      {"addition", "What is {a} + {b}?", "a+b"},
      {"addition", "Compute {a} + {b}.", "a+b"},
      {"addition", "{a} + {b} = ?", "a+b"},
      {"addition", "Calculate {a} + {b}.", "a+b"},
      {"subtraction", "What is {a} - {b}?", "a-b"},
      {"subtraction", "Compute {a} - {b}.", "a-b"},
      {"subtraction", "{a} - {b} = ?", "a-b"},
      {"subtraction", "Calculate {a} - {b}.", "a-b"},
      {"multiplication", "What is {a} * {b}?", "a*b"},
      {"multiplication", "Compute {a} * {b}.", "a*b"},
      {"multiplication", "{a} * {b} = ?", "a*b"},
      {"multiplication", "Calculate {a} * {b}.", "a*b"},
      {"word", "{n} has {a} {o}. {n} buys {b} more and then gives away {c}. How many {o} does {n} have now?", "a+b -c"},
      {"word", "A box holds {a} {o}. {n} buys {d} boxes and loses {b} {o}. How many {o} are left?", "a*d -b"},
      {"word", "{n} has {a} {o}. {n} loses {b} and then finds {c}. How many {o} does {n} have?", "a-b +c"},
      {"word", "A shop sells {a} {o} on Monday and {b} on Tuesday. {n} sells {c} more. How many {o} are sold in total?",
       "a+b +c"},
      {"word", "There are {d} bags with {a} {o} in each bag. {n} adds {b} more {o}. How many {o} are there in total?",
       "a*d +b"},
      {"word", "{n} has {a} {o} and {m} has {b} {o}. They put them together and give away {c}. How many {o} are left?",
       "a+b -c"},
      {"word", "{n} had {a} {o}. {n} sold {b} in the morning and {c} in the evening. How many {o} are left?", "a-b -c"},
      {"word", "{n} has {a} {o}. {m} has {b} more than {n}. Then {m} loses {c}. How many {o} does {m} have?", "a+b -c"},
      {"word", "{n} saves {a} {o} each week for {d} weeks and gets {b} as a gift. How many {o} does {n} have?",
       "a*d +b"},
      {"word",
       "{n} has {a} {o} and gives away {b}. {m} has {d} times as many as {n} has left. How many {o} does {m} have?",
       "a-b *d"},
  };
  return all;
}

std::string fill(const Template& form, const Slots& slots) {
  std::string out;
  const std::string_view text = form.text;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '{') {
      out += text[i++];
      continue;
    }
    const auto it = slots.find(text[i + 1]);
    RETORT_CHECK(it != slots.end());
    out += it->second;
    i += 3;
  }
  return out;
}

std::vector<Step> steps_of(const Template& form, const Slots& slots) {
  const auto number = [&](char slot) { return static_cast<int64_t>(std::stoll(slots.at(slot))); };
  std::vector<Step> steps;
  for (const std::string_view part : split(form.steps, ' ')) {
    if (part.size() == 3)
      steps.push_back({number(part[0]), part[1], number(part[2])});
    else
      steps.push_back({std::nullopt, part[0], number(part[1])});
  }
  return steps;
}

std::optional<Match> recognise(std::string_view question) {
  const std::string_view text = trim(question);
  for (const Template& form : templates()) {
    if (auto slots = match(form.text, text)) return Match{&form, std::move(*slots)};
  }
  return std::nullopt;
}

}  // namespace retort::tasks
