#include "verify/number.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/text.h"
#include "verify/equal.h"

namespace retort::verify {
namespace {

using boost::multiprecision::cpp_int;
using boost::multiprecision::cpp_rational;

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

// Replaces every `\name{inside}` by " inside " (braces balanced; an unclosed one stays).
std::string unwrap(std::string text, std::string_view name) {
  const std::string mark = "\\" + std::string(name) + "{";
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
    int depth = 1;
    size_t end = at + mark.size();
    while (end < text.size() && depth > 0) depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0, ++end;
    if (depth > 0) return text;
    const std::string inside = text.substr(at + mark.size(), end - 1 - at - mark.size());
    text = text.substr(0, at) + " " + inside + " " + text.substr(end);
  }
  return text;
}

struct Replacement {
  std::string_view from, to;
};

constexpr Replacement kReplacements[] = {
    {"−", "-"},
    {"–", "-"},
    {"—", "-"},
    {"‐", "-"},
    {"，", ","},
    {"％", "%"},
    {"\u00a0", " "},
    {"\u2009", " "},
    {"\u202f", " "},
    {"\u200b", ""},
    {"×", "*"},
    {"＄", "$"},
    {"{,}", ","},
    {"\\dfrac", "\\frac"},
    {"\\tfrac", "\\frac"},
    {"\\cfrac", "\\frac"},
    {"\\left", ""},
    {"\\right", ""},
    {"\\displaystyle", ""},
    {"\\(", ""},
    {"\\)", ""},
    {"\\[", ""},
    {"\\]", ""},
    {"\\cdot", "*"},
    {"\\times", "*"},
    {"\\%", "%"},
    {"\\$", "$"},
    {"\\!", ""},
    {"\\,", " "},
    {"\\;", " "},
    {"\\:", " "},
    {"\\ ", " "},
    {"~", " "},
    {"\\quad", " "},
    {"^\\circ", " degrees"},
    {"^{\\circ}", " degrees"},
    {"°", " degrees"},
    {"\\degree", " degrees"},
    {"\\approx", "≈"},
    {"\\euro", "€"},
    {"\\pounds", "£"},
};

// A cursor over an undressed answer.
struct Reader {
  std::string_view text;
  size_t at = 0;
  bool limit = false;
  bool decimal_comma = false;

  bool done() const { return at == text.size(); }
  char peek(size_t ahead = 0) const { return at + ahead < text.size() ? text[at + ahead] : '\0'; }
  bool take(std::string_view word) {
    if (!text.substr(at).starts_with(word)) return false;
    at += word.size();
    return true;
  }
  void spaces() {
    while (peek() == ' ') ++at;
  }

  // Digits with thousands separators: 1234, 1,234, 1 234, 1_234; "" where none.
  std::string grouped() {
    std::string out;
    while (digit(peek())) out += text[at++];
    if (out.empty() || out.size() > 3) return out;
    if (out == "0") {  // no thousands follow a zero: 0,25 has a decimal comma
      if (peek() == ',' && digit(peek(1))) decimal_comma = true;
      return out;
    }
    for (const char separator : {',', ' ', '_'}) {
      bool any = false;
      for (;;) {
        size_t i = at;
        if (i >= text.size() || text[i] != separator) break;
        ++i;
        if (i + 3 > text.size() || !digit(text[i]) || !digit(text[i + 1]) || !digit(text[i + 2])) break;
        if (i + 3 < text.size() && digit(text[i + 3])) break;
        if (separator == ' ' && i + 3 < text.size() && text[i + 3] == '/') break;  // 1 234/567 is a mixed number
        out += text.substr(i, 3);
        at = i + 3;
        any = true;
      }
      if (any) break;
    }
    return out;
  }

  std::optional<int> exponent() {
    const size_t start = at;
    const bool brace = take("{");
    const bool negative = take("-");
    if (!negative) take("+");
    int value = 0, count = 0;
    while (digit(peek())) {
      value = std::min(value * 10 + (text[at++] - '0'), 1'000'000);
      ++count;
    }
    if (count == 0 || (brace && !take("}"))) {
      at = start;
      return std::nullopt;
    }
    return negative ? -value : value;
  }

  // An unsigned decimal with an optional power of ten.
  std::optional<cpp_rational> decimal() {
    const size_t start = at;
    std::string digits = grouped();
    int power = 0;
    if (std::exchange(decimal_comma, false) || (peek() == '.' && (digit(peek(1)) || !digits.empty()))) {
      if (digit(peek(1))) {
        ++at;
        while (digit(peek())) digits += text[at++], --power;
      } else if (at + 1 == text.size() || peek(1) == ' ') {
        ++at;  // "5."
      }
    }
    if (digits.empty()) {
      at = start;
      return std::nullopt;
    }
    const size_t before = at;
    if ((peek() == 'e' || peek() == 'E') &&
        (digit(peek(1)) || ((peek(1) == '-' || peek(1) == '+') && digit(peek(2))))) {
      ++at;
      if (const auto e = exponent()) power += *e;
    } else {
      spaces();
      const bool times = take("*") || take("x ");
      if (times) spaces();
      if (times && take("10^")) {
        if (const auto e = exponent())
          power += *e;
        else
          at = before;
      } else {
        at = before;
        if (digits == "10" && power == 0 && take("^")) {  // 10^3 alone
          digits = "1";
          if (const auto e = exponent())
            power = *e;
          else
            at = before, digits = "10";
        }
      }
    }
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    if (digits.size() > static_cast<size_t>(kMaxDigits) || std::abs(power) > kMaxExponent + kMaxDigits) {
      limit = true;
      return cpp_rational(0);
    }
    cpp_rational value{cpp_int(digits)};
    const cpp_int scale = boost::multiprecision::pow(cpp_int(10), static_cast<unsigned>(std::abs(power)));
    if (power >= 0)
      value *= scale;
    else
      value /= cpp_rational(scale);  // Boost 1.81 leaves a 1 as it is where it is divided by a plain integer
    return value;
  }

  std::optional<cpp_rational> signed_decimal() {
    spaces();
    const bool paren = take("(");
    bool negative = false;
    while (peek() == '-' || peek() == '+' || peek() == ' ') negative ^= text[at++] == '-';
    auto value = decimal();
    spaces();
    if (!value || (paren && !take(")"))) return std::nullopt;
    return negative ? cpp_rational(-*value) : *value;
  }

  std::optional<cpp_rational> latex_fraction() {
    const size_t start = at;
    std::array<std::optional<cpp_rational>, 2> parts;
    if (!take("\\frac")) return std::nullopt;
    for (auto& part : parts) {
      spaces();
      if (take("{")) {
        part = signed_decimal();
        if (!part || !take("}")) break;
      } else if (digit(peek())) {
        part = cpp_rational(text[at++] - '0');
      }
    }
    if (!parts[0] || !parts[1] || *parts[1] == 0) {
      at = start;
      return std::nullopt;
    }
    return *parts[0] / *parts[1];
  }

  // decimal, fraction, or mixed number, without its sign.
  std::optional<cpp_rational> magnitude() {
    if (auto fraction = latex_fraction()) return fraction;
    const size_t start = at;
    const bool paren = take("(");
    auto value = paren ? signed_decimal() : decimal();
    if (!value || (paren && !take(")"))) {
      at = start;
      return std::nullopt;
    }
    const size_t end = at;
    const bool whole = denominator(*value) == 1;
    spaces();
    if (take("/")) {
      const auto bottom = signed_decimal();
      if (bottom && *bottom != 0) return *value / *bottom;
      at = end;
      return value;
    }
    if (whole) {  // 2 1/3, 2\frac{1}{3}, 2 and 1/3
      if (auto fraction = latex_fraction(); fraction && *fraction < 1 && *fraction > 0) return *value + *fraction;
      at = end;
      spaces();
      if (take("and ")) spaces();
      const size_t top_at = at;
      if (at > end && digit(peek())) {
        const auto top = decimal();
        if (top && take("/")) {
          const auto bottom = decimal();
          if (bottom && *bottom > *top && denominator(*top) == 1 && denominator(*bottom) == 1)
            return *value + *top / *bottom;
        }
      }
      at = top_at;
    }
    at = end;
    return value;
  }
};

constexpr std::string_view kAttachedUnits[] = {
    "cm", "mm", "km",  "m",   "kg", "g", "mg", "lb", "lbs", "oz", "ft", "in", "mph", "kph", "km/h", "m/s", "s",
    "h",  "hr", "hrs", "min", "ml", "l", "L",  "mL", "am",  "pm", "c",  "¢",  "€",   "£",   "¥",    "$",   "k",
    "x",  "th", "st",  "nd",  "rd", "'", "\"", "J",  "N",   "W",  "V",  "A",  "K",   "C",   "F",
};

// Whether what follows a number is only words of a unit: "apples", "square feet", "cm^2", "miles per hour",
// "dollars/day".
bool unit_words(std::string_view rest) {
  if (rest.empty()) return true;
  if (rest.size() > 160) return false;
  const bool attached = rest.front() != ' ';
  const std::string_view words = trim(rest);
  if (words.empty()) return true;
  const std::string_view first = words.substr(0, words.find_first_of(" ^"));
  if (attached && words.front() != '-' && words.front() != '(' && words.front() != '/' && first != "degrees" &&
      std::find(std::begin(kAttachedUnits), std::end(kAttachedUnits), first) == std::end(kAttachedUnits)) {
    return false;
  }
  size_t run = 0, longest = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    const char c = words[i];
    if (letter(c) || static_cast<uint8_t>(c) >= 0x80) {
      longest = std::max(longest, ++run);
      continue;
    }
    run = 0;
    if (c == '^') {  // a unit's power: cm^2, m^{3}
      if (i + 1 < words.size() && (words[i + 1] == '2' || words[i + 1] == '3'))
        ++i;
      else if (words.substr(i).starts_with("^{2}") || words.substr(i).starts_with("^{3}"))
        i += 3;
      else
        return false;
    } else if (std::string_view(" /.'-$,()\"").find(c) == std::string_view::npos) {
      return false;
    }
  }
  if (longest >= 2) return true;
  return std::find(std::begin(kAttachedUnits), std::end(kAttachedUnits), first) != std::end(kAttachedUnits) &&
         first != "x";
}

constexpr std::string_view kPrefixes[] = {"approximately ", "about ",  "around ", "roughly ",  "exactly ",
                                          "only ",          "is ",     "equals ", "equal to ", "a total of ",
                                          "total of ",      "total: ", "usd ",    "rs. ",      "rs "};

// Whether the left side of "left = 5" makes the right side the answer: one name (x, a_n, f(2)) or arithmetic without
// unknowns (3 + 4), but not an equation (x^2 + y = 5).
bool states_a_value(std::string_view left) {
  const bool letters = std::any_of(left.begin(), left.end(), letter);
  return !left.empty() && (!letters || left.find_first_of("+-*/^<>!") == std::string_view::npos);
}

NumberReading read_plain(std::string_view answer) {
  std::string text(trim(answer));
  // "x = 5", "3 + 4 = 7" state their last side; an approximation after it adds nothing.
  if (const size_t about = text.find("≈"); about != std::string::npos && about > 0)
    text = std::string(trim(text.substr(0, about)));
  if (const size_t equals = text.rfind('='); equals != std::string::npos) {
    if (!states_a_value(trim(std::string_view(text).substr(0, equals)))) return {};
    text = std::string(trim(std::string_view(text).substr(equals + 1)));
  }
  for (bool again = true; again;) {
    again = false;
    const std::string lower = lower_ascii(text);
    for (const std::string_view prefix : kPrefixes)
      if (lower.starts_with(prefix))
        text = std::string(trim(std::string_view(text).substr(prefix.size()))), again = true;
  }
  Reader reader{text};
  bool negative = false;
  const auto signs = [&] {
    for (;;) {
      reader.spaces();
      if (reader.take("$") || reader.take("€") || reader.take("£") || reader.take("¥")) continue;
      if (reader.take("-"))
        negative = !negative;
      else if (!reader.take("+"))
        return;
    }
  };
  for (const std::string_view word : {"negative ", "minus ", "Negative ", "Minus "})
    if (reader.take(word)) negative = true;
  signs();
  auto value = reader.magnitude();
  if (!value) return {};
  if (reader.limit) return {std::nullopt, true};
  std::string_view rest = std::string_view(text).substr(reader.at);
  Number number;
  const std::string lower = lower_ascii(trim(rest));
  struct Scale {
    std::string_view word;
    int power;
  };
  for (const Scale scale : {Scale{"thousand", 3}, Scale{"million", 6}, Scale{"billion", 9}, Scale{"trillion", 12}}) {
    if (!lower.starts_with(scale.word)) continue;
    *value *= boost::multiprecision::pow(cpp_int(10), static_cast<unsigned>(scale.power));
    rest = trim(rest).substr(scale.word.size());
  }
  for (const std::string_view word : {"%", "percentage points", "percentage", "percent", "per cent", "pct"}) {
    const std::string again = lower_ascii(trim(rest));
    if (!again.starts_with(word)) continue;
    if (word != "%" && again.size() > word.size() && letter(again[word.size()])) continue;
    number.percent = true;
    rest = trim(rest).substr(word.size());
    break;
  }
  if (!unit_words(rest) && !(number.percent && unit_words(" " + std::string(rest)))) return {};
  number.value = negative ? cpp_rational(-*value) : *value;
  return {number, false};
}

// Words that change what a number near them means, so that a sentence with one is not read as that number.
constexpr std::string_view kTurning[] = {"not",     "no",    "or",    "less", "more",    "minus", "negative",
                                         "between", "than",  "least", "most", "and",     "over",  "under",
                                         "plus",    "times", "to",    "half", "unknown", "never"};

NumberReading read_in_sentence(std::string_view answer) {
  size_t first = answer.find_first_of("0123456789");
  if (first == std::string_view::npos) return {};
  while (first > 0 && std::string_view("-.$").find(answer[first - 1]) != std::string_view::npos) --first;
  if (first == 0) return {};
  const std::string_view before = answer.substr(0, first);
  if (before.back() != ' ' && static_cast<uint8_t>(before.back()) < 0x80) return {};
  for (const std::string_view turning : kTurning) {
    if ((" " + lower_ascii(before)).find(" " + std::string(turning) + " ") != std::string::npos) return {};
  }
  if (const size_t is = answer.rfind(" is "); is != std::string_view::npos) {
    if (NumberReading stated = read_plain(answer.substr(is + 4)); stated.number) return stated;
  }
  std::string word;
  for (const char c : std::string(before) + " ") {
    if (letter(c) || c == '\'' || static_cast<uint8_t>(c) >= 0x80) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (c == ' ' || c == ',' || c == ':') {
      if (word.size() == 1 && word != "a" && word != "i") return {};
      for (const std::string_view turning : kTurning)
        if (word == turning) return {};
      word.clear();
    } else {
      return {};
    }
  }
  for (const std::string_view turning : kTurning) {
    const std::string after = " " + lower_ascii(answer.substr(first)) + " ";
    if (after.find(" " + std::string(turning) + " ") != std::string::npos) return {};
  }
  return read_plain(answer.substr(first));
}

// One pass of undressed().
std::string undressed_once(std::string_view given) {
  std::string text(given);
  for (const char c : {'\n', '\t', '\r'}) std::replace(text.begin(), text.end(), c, ' ');
  for (size_t at = text.find("\\!"); at != std::string::npos; at = text.find("\\!", at)) {  // 32,\! 349
    size_t end = at + 2;
    while (end < text.size() && text[end] == ' ') ++end;
    text.erase(at, end - at);
  }
  for (const auto& [from, to] : kReplacements) {
    if (text.find(from) == std::string::npos) continue;
    // \left must not eat \leftarrow, nor \times \timesfoo: a command ends where its letters do.
    if (from.size() > 2 && from[0] == '\\' && letter(from.back()) && from != "\\dfrac" && from != "\\tfrac" &&
        from != "\\cfrac") {
      for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
        if (at + from.size() < text.size() && letter(text[at + from.size()]))
          at += from.size();
        else
          text.replace(at, from.size(), to), at += to.size();
      }
    } else {
      text = replace_all(text, from, to);
    }
  }
  for (const std::string_view name : {"boxed", "fbox", "text", "textbf", "textit", "textrm", "textnormal", "mbox",
                                      "mathrm", "mathbf", "operatorname"})
    text = unwrap(std::move(text), name);
  // "$...$" sets mathematics; a dollar before a digit is money and stays, to be read by read_number().
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && !(i + 1 < text.size() && (digit(text[i + 1]) || text[i + 1] == '.'))) continue;
    if (text[i] == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += text[i];
  }
  for (bool again = true; again;) {
    again = false;
    while (!out.empty() && std::string_view(" .,;:!?*`\"").find(out.back()) != std::string_view::npos)
      out.pop_back(), again = true;
    for (const std::string_view mark : {"。", "”", "’"})
      if (out.ends_with(mark)) out.resize(out.size() - mark.size()), again = true;
    size_t front = 0;
    while (front < out.size() && std::string_view(" *`\"").find(out[front]) != std::string_view::npos) ++front;
    if (front > 0) out.erase(0, front), again = true;
  }
  return out;
}

}  // namespace

std::string undressed(std::string_view given) {
  std::string text = undressed_once(given);
  // What one pass took off may have joined what stood around it: "\\~" is "\ " then. Each pass that changes something
  // leaves fewer backslashes, odd characters or bytes, so this ends.
  for (std::string next = undressed_once(text); next != text; next = undressed_once(text)) text = std::move(next);
  return text;
}

NumberReading read_number(std::string_view answer, bool loose) {
  NumberReading reading = read_plain(answer);
  if (!reading.number && !reading.limit && loose) reading = read_in_sentence(answer);
  return reading;
}

}  // namespace retort::verify
