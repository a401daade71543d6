#include "verify/stated.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "base/text.h"
#include "verify/date.h"
#include "verify/number.h"

namespace retort::verify {
namespace {

bool word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '\'' || static_cast<uint8_t>(c) >= 0x80;
}

// Calls visit(lower-case word) for each word; stops and returns true where it says true.
template <class F>
bool any_word(std::string_view text, F&& visit) {
  std::string lower;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && word(text[i])) {
      lower += static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
    } else if (!lower.empty()) {
      if (visit(std::string_view(lower))) return true;
      lower.clear();
    }
  }
  return false;
}

// Words that make a sentence something else than the plain statement of its answer.
bool turns(std::string_view text) {
  static constexpr std::string_view kTurning[] = {
      "not",      "no",         "never",   "neither", "nor",      "or",      "if",         "unless",   "unlikely",
      "maybe",    "perhaps",    "might",   "may",     "could",    "would",   "should",     "possibly", "probably",
      "wrong",    "incorrect",  "false",   "untrue",  "doubt",    "whether", "think",      "thinks",   "thought",
      "believe",  "believes",   "guess",   "say",     "says",     "said",    "claim",      "claims",   "claimed",
      "except",   "instead",    "rather",  "but",     "although", "however", "without",    "cannot",   "mistake",
      "mistaken", "impossible", "unknown", "unclear", "what",     "suppose", "supposedly", "whose",    "who",
      "where",    "while",      "because", "though",  "and"};
  return any_word(text, [](std::string_view w) {
    return w.ends_with("n't") || std::find(std::begin(kTurning), std::end(kTurning), w) != std::end(kTurning);
  });
}

std::vector<std::string_view> sentences(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = sentence_end(text, at);
    const size_t behind = std::min(text.size(), end + 1);  // the mark too: a question's counts
    const std::string_view one = trim(text.substr(at, behind - at));
    if (std::any_of(one.begin(), one.end(), word)) out.push_back(one);
    at = behind;
  }
  return out;
}

std::string_view last_line(std::string_view text) {
  text = trim(text);
  const size_t end = text.rfind('\n');
  return trim(end == std::string_view::npos ? text : text.substr(end + 1));
}

// "Label: positive": the value of the last line that is a name of this list, a colon and a value.
std::optional<std::string> label_line(std::string_view text) {
  static constexpr std::string_view kNames[] = {
      "label", "class",    "category", "sentiment", "classification", "prediction", "verdict", "result",      "output",
      "final", "decision", "intent",   "topic",     "choice",         "option",     "date",    "final answer"};
  std::optional<std::string> found;
  for (std::string_view line : split(text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon > 40) continue;
    std::string name;
    for (const char c : lower_ascii(line.substr(0, colon)))
      if (std::isalpha(static_cast<unsigned char>(c)) != 0 || c == ' ') name += c;
    if (std::find(std::begin(kNames), std::end(kNames), trim(name)) == std::end(kNames)) continue;
    if (std::string value = undress(line.substr(colon + 1)); !value.empty()) found = std::move(value);
  }
  return found;
}

// What follows the one copula of the last sentence.
std::optional<std::string> predicate(std::string_view text) {
  const auto all = sentences(text);
  if (all.empty() || all.back().ends_with('?')) return std::nullopt;
  const std::string_view last = all.back();
  size_t best = std::string_view::npos, behind = 0;
  for (const std::string_view copula : {" is ", " are ", " was ", " were "}) {
    const size_t at = last.find(copula);
    if (at == std::string_view::npos) continue;
    // "It is Lyon, and its rival is Paris" says two things.
    if (best != std::string_view::npos || last.rfind(copula) != at) return std::nullopt;
    best = at, behind = at + copula.size();
  }
  if (best == std::string_view::npos || turns(last.substr(0, best))) return std::nullopt;
  std::string found = undress(last.substr(behind));
  if (found.empty() || found.size() > kShortLine) return std::nullopt;
  return found;
}

std::optional<std::string> one_date(std::string_view text) {
  const auto all = sentences(text);
  for (auto sentence = all.rbegin(); sentence != all.rend(); ++sentence) {
    const std::vector<FoundDate> dates = find_dates(*sentence);
    if (dates.empty()) continue;
    std::string around;
    size_t from = 0;
    for (const FoundDate& date : dates) {
      if (date.date != dates.front().date) return std::nullopt;
      const std::string_view ahead = sentence->substr(from, date.begin - from);
      const std::string near = lower_ascii(trim(ahead.substr(ahead.size() - std::min<size_t>(ahead.size(), 16))));
      for (const std::string_view beside : {"before", "after", "until", "since", "than", "by"})
        if (near.ends_with(beside)) return std::nullopt;
      around += std::string(sentence->substr(from, date.begin - from)) + " ";
      from = date.end;
    }
    around += sentence->substr(from);
    if (sentence->ends_with('?') || turns(around)) return std::nullopt;
    return iso_date(dates.front().date);
  }
  return std::nullopt;
}

bool is_letter(char c) { return c >= 'A' && c <= 'J'; }

std::optional<std::string> one_letter(std::string_view text) {
  const std::string_view line = last_line(text);
  if (turns(line) || line.ends_with('?')) return std::nullopt;
  char found = '\0';
  const auto take = [&](char c) {
    const bool same = found == '\0' || found == c;
    found = c;
    return same;
  };
  for (size_t i = 0; i < line.size(); ++i) {
    if (!is_letter(line[i]) || (i > 0 && word(line[i - 1])) || (i + 1 < line.size() && word(line[i + 1]))) continue;
    const std::string_view before = line.substr(0, i), after = line.substr(i + 1);
    const std::string ahead = lower_ascii(before.substr(before.size() - std::min<size_t>(before.size(), 8)));
    const bool named = ahead.ends_with("option ") || ahead.ends_with("choice ") || ahead.ends_with("letter ");
    const bool bracketed = before.ends_with('(') && after.starts_with(')');
    const bool bold =
        before.ends_with("**") && (after.starts_with("**") || after.starts_with(".") || after.starts_with(")"));
    const bool opens = before.empty() && (after.empty() || after.starts_with(". ") || after.starts_with(") ") ||
                                          after.starts_with(": ") || after.starts_with(" because "));
    const bool said = ahead.ends_with(" is ") &&
                      (after.empty() || after == "." || after.starts_with(". ") || after.starts_with(", "));
    if ((named || bracketed || bold || opens || said) && !take(line[i])) return std::nullopt;
  }
  if (found == '\0') return std::nullopt;
  return std::string(1, found);
}

std::string_view opposite(std::string_view polar) {
  return polar == "yes" ? "no" : polar == "no" ? "yes" : polar == "true" ? "false" : polar == "false" ? "true" : "";
}

// The yes, no, true or false that opens a sentence as an answer: "Yes, it is", "No.", but not "No one knows" or "No.
// 5".
std::string opening(std::string_view sentence) {
  size_t from = 0;
  while (from < sentence.size() && !word(sentence[from])) ++from;
  std::string_view rest = sentence.substr(from);
  for (const std::string_view lead : {"so", "therefore", "thus", "hence"}) {
    if (!lower_ascii(rest.substr(0, lead.size())).starts_with(lead)) continue;
    const std::string_view then = rest.substr(lead.size());
    if (then.starts_with(", "))
      rest = then.substr(2);
    else if (then.starts_with(' '))
      rest = then.substr(1);
  }
  size_t end = 0;
  while (end < rest.size() && word(rest[end])) ++end;
  std::string first = lower_ascii(rest.substr(0, end));
  if (opposite(first).empty()) return "";
  while (end < rest.size() && rest[end] == '*') ++end;
  const std::string_view after = rest.substr(end);
  if (after.empty() || std::string_view(",.;:!\n").find(after[0]) != std::string_view::npos) return first;
  return first == "yes" && after[0] == ' ' ? first : "";
}

std::optional<std::string> polar(std::string_view text) {
  const auto all = sentences(text);
  if (all.empty()) return std::nullopt;
  // "No. 5 is": the first sentence ends after its word, and a number goes on.
  if (all.size() > 1 && all[0].size() <= 3 && std::isdigit(static_cast<unsigned char>(all[1][0])) != 0)
    return std::nullopt;
  const std::string first = opening(all.front()), last = opening(all.back());
  const std::string found = first.empty() ? last : first;
  if (found.empty() || (!last.empty() && last != found)) return predicate(text);
  const std::string_view other = opposite(found);
  const bool unsure = any_word(text, [&](std::string_view w) {
    return w == other || w == "wait" || w == "actually" || w == "however" || w == "but" || w == "maybe" ||
           w == "perhaps";
  });
  if (unsure) return std::nullopt;
  return found;
}

}  // namespace

Kind kind_of(std::string_view reference) {
  const std::string_view text = trim(reference);
  if (text.empty() || text.size() > kShortLine || text.find('\n') != std::string_view::npos) return Kind::Other;
  const std::string plain = undressed(text);
  if (choice_letter(plain) != '\0') return Kind::Choice;
  if (read_date(text)) return Kind::Date;
  const NumberReading number = read_number(plain, false);
  if (number.number || number.limit) return Kind::Number;
  if (!opposite(lower_ascii(plain)).empty()) return Kind::Polar;
  return Kind::Text;
}

std::optional<Answer> stated(Kind kind, std::string_view text) {
  if (kind == Kind::Number || kind == Kind::Other) return std::nullopt;
  const auto label = label_line(text);
  const std::string_view scope = label ? std::string_view(*label) : text;
  std::optional<std::string> found;
  switch (kind) {
    case Kind::Date: found = one_date(scope); break;
    case Kind::Choice: found = one_letter(scope); break;
    case Kind::Polar: found = label ? label : polar(scope); break;
    default: found = label ? label : predicate(scope);
  }
  if (!found) return std::nullopt;
  return Answer{std::move(*found), label ? "label" : "stated"};
}

std::optional<std::string> stated_quantity(std::string_view text) {
  constexpr size_t kMost = 160;
  text = trim(text);
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.size() > kMost || text.find('\n') != std::string_view::npos) return std::nullopt;
  const std::string lower = lower_ascii(text);
  std::string_view rest = text;
  if (lower.starts_with("there are "))
    rest = text.substr(10);
  else if (lower.starts_with("there is "))
    rest = text.substr(9);
  else
    return std::nullopt;
  std::string number;
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(rest, ' '))
    if (!part.empty()) parts.push_back(part);
  // NUMBER unit.. in|per NUMBER|a|an|one|each unit..: plain words, nothing after.
  size_t at = 0;
  const auto numeric = [](std::string_view part) {
    return part.find_first_of("0123456789") != std::string_view::npos &&
           part.find_first_not_of("0123456789.,/") == std::string_view::npos && !part.ends_with(',');
  };
  const auto plain = [](std::string_view part) {
    static constexpr std::string_view kNone[] = {"and",   "or",   "so",   "not", "but", "that",
                                                 "which", "with", "each", "in",  "per"};
    return std::all_of(part.begin(), part.end(),
                       [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '-'; }) &&
           std::find(std::begin(kNone), std::end(kNone), part) == std::end(kNone);
  };
  const auto words = [&] {
    size_t n = 0;
    while (at < parts.size() && plain(parts[at])) ++at, ++n;
    return n;
  };
  if (at == parts.size() || !numeric(parts[at])) return std::nullopt;
  number = std::string(parts[at++]);
  if (const size_t n = words(); n < 1 || n > 4) return std::nullopt;
  if (at == parts.size() || (parts[at] != "in" && parts[at] != "per")) return std::nullopt;
  ++at;
  if (at < parts.size() && numeric(parts[at])) ++at;
  if (const size_t n = words(); n < 1 || n > 4 || at != parts.size()) return std::nullopt;
  return number;
}

char choice_letter(std::string_view text) {
  text = trim(text);
  const bool paren = text.starts_with('(');
  if (paren) text.remove_prefix(1);
  if (text.empty()) return '\0';
  const char upper = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  if (upper < 'A' || upper > 'J') return '\0';
  text.remove_prefix(1);
  if (paren) return text.starts_with(')') ? upper : '\0';
  if (text.empty()) return upper;
  if (text[0] != ')' && text[0] != '.' && text[0] != ':') return '\0';
  return text.size() == 1 || std::isspace(static_cast<unsigned char>(text[1])) != 0 ? upper : '\0';
}

}  // namespace retort::verify
