#include "model/jinja_lexer.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "model/jinja_value.h"
#include "model/unicode.h"

namespace retort::model::jinja {
namespace {

// \r\n and \r become \n; one newline at the end goes, as with Jinja's keep_trailing_newline=False.
std::string normal_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : s_(std::move(source)) {}

  std::vector<Token> run() {
    while (i_ < s_.size()) text();
    add(Token::Kind::End, "");
    return std::move(out_);
  }

 private:
  bool at(std::string_view mark) const { return std::string_view(s_).substr(i_, mark.size()) == mark; }
  void add(Token::Kind kind, std::string value) { out_.push_back({kind, std::move(value), line_}); }
  void advance(size_t n) {
    line_ += static_cast<int>(std::count(s_.begin() + static_cast<std::ptrdiff_t>(i_),
                                         s_.begin() + static_cast<std::ptrdiff_t>(i_ + n), '\n'));
    i_ += n;
  }
  void skip_space() {
    while (i_ < s_.size()) {
      const CodePoint c = code_point_at(s_, i_);
      if (!is_space(c.value)) return;
      advance(c.length);
    }
  }
  char sign_at(size_t i) const { return i < s_.size() && (s_[i] == '-' || s_[i] == '+') ? s_[i] : '\0'; }

  // Text up to the next tag, less what the tag strips. `kind`: the tag's second character.
  std::string before_tag(std::string_view text, char kind, char sign) const {
    if (sign == '-') return strip(text, false, true);
    if (sign != '+' && kind != '{') {
      const size_t newline = text.rfind('\n');
      const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((start > 0 || line_starting_) && start < text.size() && strip(text.substr(start), true, false).empty())
        return std::string(text.substr(0, start));
    }
    return std::string(text);
  }

  // Behind a tag's end at i_: eats what the sign (or trim_blocks) says.
  void after_tag(size_t end_length, char sign, bool block) {
    advance(end_length);
    const size_t begin = i_;
    if (sign == '-')
      skip_space();
    else if (block && sign != '+' && i_ < s_.size() && s_[i_] == '\n')
      advance(1);
    line_starting_ = i_ > begin && s_[i_ - 1] == '\n';
  }

  void text() {
    size_t tag = i_;
    while ((tag = s_.find('{', tag)) != std::string::npos) {
      if (tag + 1 < s_.size() && (s_[tag + 1] == '{' || s_[tag + 1] == '%' || s_[tag + 1] == '#')) break;
      ++tag;
    }
    const std::string_view rest = std::string_view(s_).substr(i_);
    if (tag == std::string::npos) {
      add(Token::Kind::Text, std::string(rest));
      advance(rest.size());
      return;
    }
    const char kind = s_[tag + 1];
    const char sign = sign_at(tag + 2);
    std::string shown = before_tag(rest.substr(0, tag - i_), kind, sign);
    if (!shown.empty()) add(Token::Kind::Text, std::move(shown));
    advance(tag - i_ + 2 + (sign != '\0' ? 1 : 0));
    if (kind == '#') {
      comment();
    } else if (kind == '%' && raw()) {
      return;
    } else {
      add(kind == '%' ? Token::Kind::BlockBegin : Token::Kind::VariableBegin, "");
      tag_body(kind == '%');
    }
  }

  void comment() {
    const size_t end = s_.find("#}", i_);
    if (end == std::string::npos) raise("line {}: a comment is not closed with #}}", line_);
    const char sign = end > i_ ? sign_at(end - 1) : '\0';
    after_tag(end + 2 - i_, sign, true);
  }

  // {% raw %} ... {% endraw %}; false where the tag is another.
  bool raw() {
    size_t i = i_;
    const auto space = [&] {
      while (i < s_.size() && std::isspace(static_cast<unsigned char>(s_[i]))) ++i;
    };
    space();
    if (s_.compare(i, 3, "raw") != 0) return false;
    i += 3;
    space();
    const char sign = sign_at(i);
    if (sign != '\0') ++i;
    if (s_.compare(i, 2, "%}") != 0) return false;
    advance(i - i_);
    after_tag(2, sign, true);
    for (size_t end = i_; (end = s_.find("{%", end)) != std::string::npos; ++end) {
      const char begin_sign = sign_at(end + 2);
      i = end + 2 + (begin_sign != '\0' ? 1 : 0);
      space();
      if (s_.compare(i, 6, "endraw") != 0) continue;
      i += 6;
      space();
      const char end_sign = sign_at(i);
      if (end_sign != '\0') ++i;
      if (s_.compare(i, 2, "%}") != 0) continue;
      std::string shown = before_tag(std::string_view(s_).substr(i_, end - i_), '%', begin_sign);
      if (!shown.empty()) add(Token::Kind::Text, std::move(shown));
      advance(i - i_);
      after_tag(2, end_sign, true);
      return true;
    }
    raise("line {}: {{% raw %}} is not closed with {{% endraw %}}", line_);
  }

  void tag_body(bool block) {
    const std::string_view end = block ? "%}" : "}}";
    std::string open;  // brackets
    for (;;) {
      skip_space();
      if (i_ >= s_.size()) raise("line {}: a tag is not closed with {}", line_, end);
      if (open.empty()) {
        const char sign = sign_at(i_);
        const size_t at_end = i_ + (sign != '\0' ? 1 : 0);
        if (s_.compare(at_end, 2, end) == 0 && (block || sign != '+')) {
          advance(at_end - i_);
          add(block ? Token::Kind::BlockEnd : Token::Kind::VariableEnd, "");
          after_tag(2, sign, block);
          return;
        }
      }
      const char c = s_[i_];
      if (std::isdigit(static_cast<unsigned char>(c)))
        number();
      else if (c == '"' || c == '\'')
        string_literal(c);
      else if (std::isalpha(static_cast<unsigned char>(c)) || c == '_' || static_cast<uint8_t>(c) >= 0x80)
        name();
      else
        operation(open);
    }
  }

  void name() {
    size_t end = i_;
    while (end < s_.size() && (std::isalnum(static_cast<unsigned char>(s_[end])) || s_[end] == '_' ||
                               static_cast<uint8_t>(s_[end]) >= 0x80))
      ++end;
    add(Token::Kind::Name, s_.substr(i_, end - i_));
    advance(end - i_);
  }

  void number() {
    size_t end = i_;
    bool real = false;
    const auto digits = [&] {
      while (end < s_.size() && (std::isdigit(static_cast<unsigned char>(s_[end])) || s_[end] == '_')) ++end;
    };
    digits();
    if (end + 1 < s_.size() && s_[end] == '.' && std::isdigit(static_cast<unsigned char>(s_[end + 1]))) {
      real = true;
      ++end;
      digits();
    }
    if (end + 1 < s_.size() && (s_[end] == 'e' || s_[end] == 'E')) {
      const size_t sign = s_[end + 1] == '-' || s_[end + 1] == '+' ? 1 : 0;
      if (end + 1 + sign < s_.size() && std::isdigit(static_cast<unsigned char>(s_[end + 1 + sign]))) {
        real = true;
        end += 1 + sign;
        digits();
      }
    }
    std::string text = s_.substr(i_, end - i_);
    std::erase(text, '_');
    add(real ? Token::Kind::Float : Token::Kind::Integer, std::move(text));
    advance(end - i_);
  }

  void string_literal(char mark) {
    size_t i = i_ + 1;
    std::string value;
    while (i < s_.size() && s_[i] != mark) {
      if (s_[i] != '\\' || i + 1 >= s_.size()) {
        value += s_[i++];
        continue;
      }
      const char c = s_[i + 1];
      i += 2;
      const auto hex = [&](size_t n) {
        uint32_t v = 0;
        for (size_t k = 0; k < n; ++k, ++i) {
          if (i >= s_.size() || !std::isxdigit(static_cast<unsigned char>(s_[i])))
            raise("line {}: a broken \\{} escape", line_, c);
          v = v * 16 + static_cast<uint32_t>(std::stoi(s_.substr(i, 1), nullptr, 16));
        }
        if (v > 0x10FFFF || (v >= 0xD800 && v < 0xE000)) raise("line {}: \\{} escape of no character", line_, c);
        append_utf8(value, v);
      };
      constexpr std::string_view kPlain = "ntrabfv\\'\"", kMeaning = "\n\t\r\a\b\f\v\\'\"";
      if (const size_t at_plain = kPlain.find(c); at_plain != std::string_view::npos) {
        value += kMeaning[at_plain];
      } else if (c == '\n') {
      } else if (c == 'x') {
        hex(2);
      } else if (c == 'u') {
        hex(4);
      } else if (c == 'U') {
        hex(8);
      } else if (c >= '0' && c <= '7') {
        uint32_t v = static_cast<uint32_t>(c - '0');
        for (int k = 0; k < 2 && i < s_.size() && s_[i] >= '0' && s_[i] <= '7'; ++k)
          v = v * 8 + static_cast<uint32_t>(s_[i++] - '0');
        append_utf8(value, v);
      } else {
        value += '\\';
        value += c;
      }
    }
    if (i >= s_.size()) raise("line {}: a string is not closed", line_);
    add(Token::Kind::String, std::move(value));
    advance(i + 1 - i_);
  }

  void operation(std::string& open) {
    for (const std::string_view two : {"==", "!=", ">=", "<=", "//", "**"}) {
      if (!at(two)) continue;
      add(Token::Kind::Operator, std::string(two));
      advance(2);
      return;
    }
    const char c = s_[i_];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos)
      raise("line {}: unexpected character '{}'", line_, c);
    if (c == '(' || c == '[' || c == '{') open += c;
    if (c == ')' || c == ']' || c == '}') {
      const char want = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open.empty() || open.back() != want) raise("line {}: unexpected '{}'", line_, c);
      open.pop_back();
    }
    add(Token::Kind::Operator, std::string(1, c));
    advance(1);
  }

  std::string s_;
  std::vector<Token> out_;
  size_t i_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(normal_newlines(source)).run(); }

}  // namespace retort::model::jinja
