#include "model/jinja_wrap.h"

#include <algorithm>

#include "base/text.h"
#include "model/jinja_value.h"
#include "model/unicode.h"

namespace retort::model::jinja {
namespace {

using Points = std::vector<uint32_t>;

// textwrap's own white space; other kinds of space are parts of words.
bool white(uint32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool letter(uint32_t c) { return c == '_' || (char_classes()[c] & kLetter) != 0; }
bool word(uint32_t c) { return letter(c) || (char_classes()[c] & kNumber) != 0; }
bool word_or_mark(uint32_t c) {
  return word(c) || (c < 0x80 && std::string_view("!\"'&.,?").find(static_cast<char>(c)) != std::string_view::npos);
}

// Where the next piece ends that a row is not broken within, by textwrap's wordsep_re.
class Pieces {
 public:
  Pieces(const Points& text, bool hyphens) : s_(text), hyphens_(hyphens) {}

  size_t end_of(size_t begin) const {
    size_t e = begin;
    if (white(s_[begin])) {
      while (e < s_.size() && white(s_[e])) ++e;
      return e;
    }
    if (hyphens_ && dash(begin)) return dashes(begin);
    for (++e; e < s_.size() && !white(s_[e]); ++e) {
      if (hyphens_ && hyphen(e)) return e + 1;
      if (hyphens_ && dash(e)) return e;
    }
    return e;
  }

 private:
  size_t dashes(size_t i) const {
    while (i < s_.size() && s_[i] == '-') ++i;
    return i;
  }
  // A dash of two or more hyphens between words.
  bool dash(size_t i) const {
    const size_t end = dashes(i);
    return end >= i + 2 && end < s_.size() && word(s_[end]) && i > 0 && word_or_mark(s_[i - 1]);
  }
  // A hyphen within a word: letters on both sides.
  bool hyphen(size_t i) const {
    if (s_[i] != '-' || i < 2) return false;
    const bool before = letter(s_[i - 1]) && letter(s_[i - 2]);
    const bool short_before = i >= 3 && letter(s_[i - 3]) && s_[i - 2] == '-' && word_or_mark(s_[i - 1]);
    if (!before && !short_before) return false;
    const auto letter_at = [&](size_t k) { return k < s_.size() && letter(s_[k]); };
    return letter_at(i + 1) && (letter_at(i + 2) || (i + 2 < s_.size() && s_[i + 2] == '-' && letter_at(i + 3)));
  }

  const Points& s_;
  bool hyphens_;
};

bool blank(const Points& piece) { return std::all_of(piece.begin(), piece.end(), is_space); }

// How much of a word that is longer than a row goes into the `left` places.
size_t cut_of(const Points& piece, size_t left, bool hyphens) {
  if (!hyphens || piece.size() <= left) return left;
  for (size_t i = left; i-- > 1;) {
    if (piece[i] != '-') continue;
    const auto end = piece.begin() + static_cast<std::ptrdiff_t>(i);
    return std::any_of(piece.begin(), end, [](uint32_t c) { return c != '-'; }) ? i + 1 : left;
  }
  return left;
}

}  // namespace

std::vector<std::string> wrap(std::string_view text, size_t width, bool break_long, bool break_hyphens) {
  const Points points = code_points(text);
  const Pieces splitter(points, break_hyphens);
  std::vector<Points> pieces;
  const auto at = [&](size_t i) { return points.begin() + static_cast<std::ptrdiff_t>(i); };
  for (size_t begin = 0; begin < points.size();) {
    const size_t end = splitter.end_of(begin);
    pieces.emplace_back(at(begin), at(end));
    begin = end;
  }
  std::vector<std::string> rows;
  for (size_t next = 0; next < pieces.size();) {
    if (!rows.empty() && blank(pieces[next])) ++next;
    std::vector<Points> row;
    size_t length = 0;
    while (next < pieces.size() && length + pieces[next].size() <= width) {
      length += pieces[next].size();
      row.push_back(std::move(pieces[next++]));
    }
    if (next < pieces.size() && pieces[next].size() > width) {
      Points& piece = pieces[next];
      if (break_long) {
        const auto end = piece.begin() + static_cast<std::ptrdiff_t>(cut_of(piece, width - length, break_hyphens));
        row.emplace_back(piece.begin(), end);
        piece.erase(piece.begin(), end);
      } else if (row.empty()) {
        row.push_back(std::move(pieces[next++]));
      }
    }
    if (!row.empty() && blank(row.back())) row.pop_back();
    if (row.empty()) continue;
    std::string out;
    for (const Points& piece : row) {
      for (const uint32_t c : piece) append_utf8(out, c);
    }
    rows.push_back(std::move(out));
  }
  return rows;
}

}  // namespace retort::model::jinja
