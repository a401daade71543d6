#include "verify/answer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"
#include "verify/stated.h"

namespace retort::verify {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}

// The inside of the last `mark`{...} with balanced braces, or nullopt. Escaped braces (\{) count as text.
std::optional<std::string> last_braced(std::string_view text, std::string_view mark) {
  // An unclosed one is passed over; kTries bounds the work on a text made of them.
  constexpr int kTries = 16;
  size_t at = text.rfind(mark);
  for (int tries = 0; at != std::string_view::npos && tries < kTries; ++tries, at = text.rfind(mark, at - 1)) {
    size_t open = at + mark.size();
    while (open < text.size() && text[open] == ' ') ++open;
    if (open < text.size() && text[open] == '{') {
      int depth = 0;
      for (size_t i = open; i < text.size() && i - open <= 4096; ++i) {  // longer is no final answer
        if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '{' || text[i + 1] == '}')) {
          ++i;
          continue;
        }
        depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
        if (depth == 0) return std::string(trim(text.substr(open + 1, i - open - 1)));
      }
    } else if (mark == "\\boxed" && open < text.size() && open > at + mark.size() && word(text[open])) {
      return std::string(1, text[open]);  // \boxed 5
    }
    if (at == 0) break;
  }
  return std::nullopt;
}

// What announces an answer. Lower case; matched with ASCII folding, at a word's start.
constexpr std::string_view kPhrases[] = {
    "answer is",
    "answers is",
    "answer:",
    "answer =",
    "answer would be",
    "answer will be",
    "answer comes to",
    "answer was",
    "result is",
    "the answer to the question is",
    "answer should be",
    "la réponse est",
    "réponse :",
    "réponse:",
    "la respuesta es",
    "respuesta:",
    "die antwort ist",
    "die antwort lautet",
    "antwort:",
    "a resposta é",
    "resposta:",
    "la risposta è",
    "risposta:",
    "ответ:",
    "答案是",
    "答案为",
    "答案为：",
    "答案：",
    "答案:",
    "答えは",
    "答え：",
    "정답은",
    "정답:",
    "उत्तर है",
    "الجواب هو",
};

std::optional<std::string> last_phrase(std::string_view text, std::string_view lower) {
  size_t best = std::string_view::npos, length = 0;
  for (const std::string_view phrase : kPhrases) {
    for (size_t at = lower.rfind(phrase); at != std::string_view::npos;
         at = at == 0 ? std::string_view::npos : lower.rfind(phrase, at - 1)) {
      const bool ascii = static_cast<uint8_t>(phrase[0]) < 0x80;
      if (ascii && at > 0 && word(lower[at - 1])) continue;
      const size_t end = at + phrase.size();
      if (best == std::string_view::npos || end > best + length) best = at, length = phrase.size();
      break;
    }
  }
  // "A: 18" on a line of its own.
  for (size_t at = text.rfind("A:"); at != std::string_view::npos;
       at = at == 0 ? std::string_view::npos : text.rfind("A:", at - 1)) {
    if (at > 0 && text[at - 1] != '\n') continue;
    if (best == std::string_view::npos || at > best) best = at, length = 2;
    break;
  }
  if (best == std::string_view::npos) return std::nullopt;
  size_t from = best + length;
  while (from < text.size() &&
         (std::isspace(static_cast<unsigned char>(text[from])) || text[from] == '*' || text[from] == ':'))
    ++from;
  std::string found = undress(text.substr(from, sentence_end(text, from) - from));
  if (found.empty()) return std::nullopt;
  return found;
}

// Length of the number that starts at `at`: digits with separators, a decimal part, an exponent, a fraction, a percent
// sign; 0 where none starts there.
size_t number_length(std::string_view text, size_t at) {
  size_t i = at;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && digit(text[i])) ++i;
    return i - start;
  };
  const size_t whole = digits();
  if (whole > 0 && whole <= 3) {
    while (i + 3 < text.size() && text[i] == ',' && digit(text[i + 1]) && digit(text[i + 2]) && digit(text[i + 3]) &&
           (i + 4 == text.size() || !digit(text[i + 4]))) {
      i += 4;
    }
  }
  if (i + 1 < text.size() && text[i] == '.' && digit(text[i + 1])) {
    ++i;
    digits();
  }
  if (i == at) return 0;
  if (i + 1 < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    size_t j = i + 1;
    if (j < text.size() && (text[j] == '-' || text[j] == '+')) ++j;
    if (j < text.size() && digit(text[j])) {
      i = j;
      digits();
    }
  }
  if (i + 1 < text.size() && text[i] == '/' && digit(text[i + 1])) {
    ++i;
    digits();
  }
  if (text.substr(i).starts_with("\\%"))
    i += 2;
  else if (i < text.size() && text[i] == '%')
    ++i;
  return i - at;
}

std::optional<std::string> last_hash(std::string_view text) {
  const size_t at = text.rfind("####");
  if (at == std::string_view::npos) return std::nullopt;
  const size_t from = at + 4;
  std::string found = undress(text.substr(from, text.find('\n', from) - from));
  if (found.empty()) return std::nullopt;
  return found;
}

}  // namespace

size_t sentence_end(std::string_view text, size_t at) {
  for (size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') return i;
    if ((c == '.' || c == '!' || c == '?') &&
        (i + 1 == text.size() || std::isspace(static_cast<unsigned char>(text[i + 1])) || text[i + 1] == '*' ||
         text[i + 1] == '"' || text[i + 1] == ')')) {
      return i;
    }
    if (text.compare(i, 3, "。") == 0 || text.compare(i, 3, "！") == 0) return i;
  }
  return text.size();
}

std::string undress(std::string_view text) {
  for (bool again = true; again;) {
    again = false;
    text = trim(text);
    for (const std::string_view mark : {"**", "__", "`", "：", ":", "=", "“", "\"", "*"}) {
      if (text.starts_with(mark)) text.remove_prefix(mark.size()), again = true;
    }
    for (const std::string_view mark : {"**", "__", "`", "”", "\"", "*", ".", ",", ";", "!", "。"}) {
      if (text.ends_with(mark) && !text.empty()) text.remove_suffix(mark.size()), again = true;
    }
  }
  return std::string(text);
}

std::optional<std::string> last_number(std::string_view text) {
  size_t found = std::string_view::npos, length = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t n = digit(text[i]) || (text[i] == '.' && (i == 0 || !word(text[i - 1]))) ? number_length(text, i) : 0;
    if (n == 0) {
      ++i;
      continue;
    }
    // "x2" and "AZ2A" hold no number.
    const bool inside = (i > 0 && (std::isalpha(static_cast<unsigned char>(text[i - 1])) != 0 || text[i - 1] == '_'));
    if (!inside) found = i, length = n;
    i += n;
  }
  if (found == std::string_view::npos) return std::nullopt;
  size_t from = found;
  const std::string_view before = text.substr(0, from);
  // A sign belongs to the number unless it stands between two operands.
  for (const std::string_view money : {"$", "€", "£", "¥"})
    if (before.ends_with(money)) from -= money.size();
  for (const std::string_view minus : {"-", "−", "–"}) {
    if (!text.substr(0, from).ends_with(minus)) continue;
    const std::string_view left = trim(text.substr(0, from - minus.size()));
    const bool operand = !left.empty() && (word(left.back()) || left.back() == ')') &&
                         (minus.size() > 1 || left.size() + minus.size() == from || digit(left.back()));
    if (!operand) from -= minus.size();
    break;
  }
  // \frac{a}{b} as the last thing: take it whole.
  if (const size_t frac = text.rfind("frac"); frac != std::string_view::npos && frac < found && found - frac < 64) {
    size_t start = frac;
    while (start > 0 && text[start - 1] != '\\') --start;
    if (start > 0 && frac - start <= 1) {
      int depth = 0, groups = 0;
      for (size_t i = frac + 4; i < text.size() && i - frac < 128; ++i) {
        if (text[i] == '{') {
          ++depth;
        } else if (text[i] == '}') {
          if (--depth > 0 || ++groups < 2) continue;
          if (i < found) break;
          size_t sign = start - 1;
          if (sign > 0 && text[sign - 1] == '-') --sign;
          return std::string(text.substr(sign, i + 1 - sign));
        } else if (depth == 0 && text[i] != ' ') {
          break;
        }
      }
    }
  }
  return std::string(text.substr(from, found + length - from));
}

std::optional<std::string> first_number(std::string_view text) {
  const size_t at = text.find_first_of("0123456789");
  if (at == std::string_view::npos) return std::nullopt;
  const size_t from = at > 0 && text[at - 1] == '.' ? at - 1 : at;
  return last_number(text.substr(0, from + std::max<size_t>(number_length(text, from), 1)));
}

Stripped strip_thought(std::string_view text) {
  Stripped out;
  size_t from = 0;
  // A template may open the thought in the prompt: then only the closing mark is in the text.
  if (const size_t close = text.find("</think>"); close != std::string_view::npos && text.find("<think>") > close)
    from = close + 8;
  while (from < text.size()) {
    const size_t open = text.find("<think>", from);
    out.text += text.substr(from, open - from);
    if (open == std::string_view::npos) return out;
    const size_t close = text.find("</think>", open);
    if (close == std::string_view::npos) {
      out.cut_thought = true;
      return out;
    }
    from = close + 8;
  }
  return out;
}

std::optional<Answer> extract_answer(std::string_view text) {
  const std::string rest = strip_thought(text).text;
  const std::string_view body = trim(rest);
  if (body.empty()) return std::nullopt;
  for (const std::string_view mark : {"\\boxed", "\\fbox"}) {
    if (auto found = last_braced(body, mark); found && !found->empty()) return Answer{*found, "boxed"};
  }
  if (auto found = last_hash(body)) return Answer{*found, "hash"};
  if (auto found = last_phrase(body, lower_ascii(body))) return Answer{*found, "phrase"};
  const bool short_line = body.size() <= kShortLine && body.find('\n') == std::string_view::npos;
  const std::string line = short_line ? undress(body) : "";
  if (!line.empty() && body.find(' ') == std::string_view::npos) return Answer{line, "line"};
  if (auto found = stated_quantity(body)) return Answer{*found, "stated"};
  if (auto found = last_number(body)) return Answer{*found, "last_number"};
  if (!line.empty()) return Answer{line, "line"};
  return std::nullopt;
}

}  // namespace retort::verify
