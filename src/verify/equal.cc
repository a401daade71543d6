#include "verify/equal.h"

#include "base/text.h"
#include "verify/number.h"
#include "verify/stated.h"

namespace retort::verify {
namespace {

bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// What text answers are compared by: words without case and with single spaces; mathematics with its case and without
// any space.
std::string text_key(std::string_view undressed_text) {
  std::string text = replace_all(undressed_text, "$", "");
  const bool mathematics = text.find_first_of("\\=^_+*<>{}") != std::string::npos;
  if (mathematics) {
    std::erase_if(text, space);
    return text;
  }
  text = lower_ascii(text);
  std::string out;  // no space beside brackets and commas
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ' &&
        (out.empty() || i + 1 == text.size() || std::string_view(",;:)]").find(text[i + 1]) != std::string_view::npos ||
         std::string_view(",;:([").find(out.back()) != std::string_view::npos)) {
      continue;
    }
    out += text[i];
  }
  return out;
}

}  // namespace

Verdict equal(std::string_view gold, std::string_view pred) {
  if (trim(gold).empty() || trim(pred).empty()) return {false, "empty"};
  if (gold.size() > kMaxAnswerBytes || pred.size() > kMaxAnswerBytes) return {gold == pred, "limit"};
  const std::string left = undressed(gold), right = undressed(pred);
  const char a = choice_letter(left), b = choice_letter(right);
  if (a != '\0' && b != '\0') return {a == b, "choice"};
  if (left.empty() || right.empty()) return {trim(gold) == trim(pred), "text"};
  const NumberReading x = read_number(left, false);
  const NumberReading y = read_number(right, x.number.has_value());
  if (x.limit || y.limit) return {text_key(left) == text_key(right), "limit"};
  if (x.number && y.number) {
    if (x.number->percent == y.number->percent) return {x.number->value == y.number->value, "number"};
    const auto& [marked, bare] = x.number->percent ? std::pair(*x.number, *y.number) : std::pair(*y.number, *x.number);
    return {marked.value == bare.value || marked.value == bare.value * 100, "percent"};
  }
  return {text_key(left) == text_key(right), "text"};
}

std::string vote_key(std::string_view answer) {
  if (trim(answer).empty()) return "";
  if (answer.size() > kMaxAnswerBytes) return "t:" + std::string(answer);
  const std::string text = undressed(answer);
  if (const char letter = choice_letter(text); letter != '\0') return std::string("c:") + letter;
  const NumberReading reading = read_number(text, true);
  if (reading.number) return "n:" + reading.number->value.str();
  const std::string key = text_key(text);
  return key.empty() ? "" : "t:" + key;
}

}  // namespace retort::verify
