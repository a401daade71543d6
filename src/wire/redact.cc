#include "wire/redact.h"

#include <algorithm>
#include <cstdint>

namespace retort::wire {
namespace {

constexpr size_t kMostBackslashes = 8;  // before one escape: JSON within JSON within JSON
constexpr size_t kMostDigits = 6;       // of &#...;

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class Match { No, Part, Yes };  // Part: the text ended before it was decided
struct Found {
  Match match = Match::No;
  size_t size = 0;
};

// `digits` hexadecimal digits of the value `wanted` at the start of `text`, `before` bytes having been read.
Found match_hex(std::string_view text, size_t digits, int wanted, size_t before) {
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (i == text.size()) return {Match::Part, 0};
    const int digit = hex(text[i]);
    if (digit < 0) return {};
    value = value * 16 + digit;
  }
  return value == wanted ? Found{Match::Yes, before + digits} : Found{};
}

// &#47; or &#x2f;
Found match_entity(std::string_view text, int wanted) {
  if (text.size() < 3) return {Match::Part, 0};
  if (text[1] != '#') return {};
  const bool is_hex = text[2] == 'x' || text[2] == 'X';
  int value = 0;
  for (size_t i = is_hex ? 3 : 2, count = 0; count <= kMostDigits; ++i, ++count) {
    if (i >= text.size()) return {Match::Part, 0};
    if (text[i] == ';') return count > 0 && value == wanted ? Found{Match::Yes, i + 1} : Found{};
    const int digit = hex(text[i]);
    if (digit < 0 || (!is_hex && digit > 9)) return {};
    value = value * (is_hex ? 16 : 10) + digit;
  }
  return {};
}

Found match_escape(std::string_view text, char c, int wanted) {
  size_t at = 0;
  while (at < text.size() && text[at] == '\\' && at < kMostBackslashes) ++at;
  if (at == text.size()) return {Match::Part, 0};
  if (text[at] == 'u') return match_hex(text.substr(at + 1), 4, wanted, at + 1);
  if (text[at] == 'x') return match_hex(text.substr(at + 1), 2, wanted, at + 1);
  return text[at] == c ? Found{Match::Yes, at + 1} : Found{};
}

// The character `c` at the start of `text`, in any of its spellings. An escape that the text's end cuts is undecided
// where `more` may come, else the character itself counts.
Found match_character(std::string_view text, char c, bool more) {
  if (text.empty()) return {Match::Part, 0};
  const int wanted = static_cast<uint8_t>(c);
  Found found;
  if (text[0] == '%') found = match_hex(text.substr(1), 2, wanted, 1);
  if (text[0] == '\\') found = match_escape(text, c, wanted);
  if (text[0] == '&') found = match_entity(text, wanted);
  const bool undecided = found.match == Match::Part && more;
  if (found.match != Match::Yes && !undecided && text[0] == c) return {Match::Yes, 1};
  return found;
}

Found match_text(std::string_view text, std::string_view pattern, bool more) {
  size_t at = 0;
  for (const char c : pattern) {
    const Found found = match_character(text.substr(at), c, more);
    if (found.match != Match::Yes) return found;
    at += found.size;
  }
  return {Match::Yes, at};
}

// The characters of base64 that depend on `key` alone where it stands `shift` bytes after a multiple of three.
std::string base64_core(std::string_view key, size_t shift, std::string_view last_two) {
  std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  alphabet += last_two;
  const std::string bytes = std::string(shift, '\0') + std::string(key);
  std::string out;
  for (size_t bit = shift == 0 ? 0 : shift == 1 ? 12 : 18; bit + 6 <= bytes.size() * 8; bit += 6) {
    int value = 0;
    for (size_t i = bit; i < bit + 6; ++i)
      value = value * 2 + ((static_cast<uint8_t>(bytes[i / 8]) >> (7 - i % 8)) & 1);
    out += alphabet[static_cast<size_t>(value)];
  }
  return out;
}

}  // namespace

void Redactor::add(const Secret& secret) {
  const std::string& key = secret.reveal();
  if (key.size() < kShortest) return;
  patterns_.push_back(key);
  for (size_t shift = 0; shift < 3; ++shift) {
    for (const char* last_two : {"+/", "-_"}) patterns_.push_back(base64_core(key, shift, last_two));
  }
  for (const std::string& pattern : patterns_) first_[static_cast<uint8_t>(pattern[0])] = true;
  for (const uint8_t c : {'%', '\\', '&'}) first_[c] = true;
}

std::string Redactor::scan(std::string_view text, bool more, std::string& out, bool& found) const {
  for (size_t at = 0; at < text.size();) {
    if (!first_[static_cast<uint8_t>(text[at])]) {
      out += text[at++];
      continue;
    }
    size_t size = 0;
    bool part = false;
    for (const std::string& pattern : patterns_) {
      const Found here = match_text(text.substr(at), pattern, more);
      if (here.match == Match::Yes) size = std::max(size, here.size);
      part = part || here.match == Match::Part;
    }
    if (size > 0) {
      out += kMark;
      at += size;
      found = true;
    } else if (part && more) {
      return std::string(text.substr(at));
    } else {
      out += text[at++];
    }
  }
  return {};
}

bool Redactor::clean(std::string& text) const {
  if (empty()) return false;
  std::string out;
  out.reserve(text.size());
  bool found = false;
  (void)scan(text, false, out, found);
  if (found) text = std::move(out);
  return found;
}

std::string Redactor::Stream::feed(std::string_view piece) {
  if (redactor_->empty()) return std::string(piece);
  held_ += piece;
  std::string out;
  bool found = false;
  held_ = redactor_->scan(held_, true, out, found);
  return out;
}

std::string Redactor::Stream::finish() {
  std::string rest;
  rest.swap(held_);
  (void)redactor_->clean(rest);
  return rest;
}

}  // namespace retort::wire
