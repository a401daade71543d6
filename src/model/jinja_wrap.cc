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
    if (s_[i] != '-' || i == 0 || !word_or_mark(s_[i - 1])) return false;
    const size_t end = dashes(i);
    return end >= i + 2 && end < s_.size() && word(s_[end]);
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

struct Piece {
  size_t begin = 0, end = 0;
  size_t size() const { return end - begin; }
};

bool blank(const Points& text, Piece piece) {
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(piece.begin),
                     text.begin() + static_cast<std::ptrdiff_t>(piece.end), is_space);
}

// Where a word that is longer than a row is cut, for the `left` places of this one.
size_t cut_of(const Points& text, Piece piece, size_t left, bool hyphens) {
  const size_t whole = piece.begin + left;
  if (!hyphens || piece.size() <= left) return whole;
  for (size_t i = whole; i-- > piece.begin + 1;) {
    if (text[i] != '-') continue;
    for (size_t k = piece.begin; k < i; ++k) {
      if (text[k] != '-') return i + 1;
    }
    return whole;
  }
  return whole;
}

}  // namespace

std::vector<std::string> wrap(std::string_view text, size_t width, bool break_long, bool break_hyphens) {
  scan(4 * text.size());
  const Points points = code_points(text);
  const Pieces splitter(points, break_hyphens);
  std::vector<Piece> pieces;
  for (size_t begin = 0; begin < points.size(); begin = pieces.back().end) {
    step();
    pieces.push_back({begin, splitter.end_of(begin)});
  }
  std::vector<std::string> rows;
  for (size_t next = 0; next < pieces.size();) {
    if (!rows.empty() && blank(points, pieces[next]) && ++next == pieces.size()) break;
    // Pieces lie one after another, so a row is a range too; `last` is where its last piece begins.
    Piece row{pieces[next].begin, pieces[next].begin};
    size_t last = row.begin;
    const auto take = [&](size_t end) {
      last = row.end;
      row.end = end;
    };
    while (next < pieces.size() && row.size() + pieces[next].size() <= width) take(pieces[next++].end);
    if (next < pieces.size() && pieces[next].size() > width) {
      if (break_long) {
        take(cut_of(points, pieces[next], width - row.size(), break_hyphens));
        pieces[next].begin = row.end;
      } else if (row.size() == 0) {
        take(pieces[next++].end);
      }
    }
    if (row.size() > 0 && blank(points, {last, row.end})) row.end = last;
    if (row.size() == 0) continue;
    step();
    Text out;
    for (size_t i = row.begin; i < row.end; ++i) append_same(out, points[i]);
    rows.push_back(out.done());
  }
  return rows;
}

}  // namespace retort::model::jinja
