#include "verify/date.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"

namespace retort::verify {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"january",   "february", "march",    "april",
                                                      "may",       "june",     "july",     "august",
                                                      "september", "october",  "november", "december"};
constexpr std::array<std::string_view, 7> kWeekdays = {"monday", "tuesday",  "wednesday", "thursday",
                                                       "friday", "saturday", "sunday"};

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool word(char c) { return digit(c) || letter(c) || c == '_' || static_cast<uint8_t>(c) >= 0x80; }

bool exists(const Date& d) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (d.year < 1 || d.month < 1 || d.month > 12 || d.day < 1) return false;
  const bool leap = d.month == 2 && d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
  return d.day <= kDays[static_cast<size_t>(d.month - 1)] + (leap ? 1 : 0);
}

struct Cursor {
  std::string_view text;
  size_t at;

  char peek() const { return at < text.size() ? text[at] : '\0'; }
  bool take(char c) {
    if (peek() != c || c == '\0') return false;
    ++at;
    return true;
  }
  bool spaces() {
    const size_t from = at;
    while (peek() == ' ') ++at;
    return at > from;
  }
  // A number of at most `most` digits, not followed by another; 0 where none stands here.
  int number(size_t most) {
    size_t n = 0;
    int value = 0;
    while (n <= most && digit(peek())) value = value * 10 + (text[at++] - '0'), ++n;
    return n == 0 || n > most ? 0 : value;
  }
  // Letters that are a month's name or its first three (sept too): 1 to 12, or 0.
  int month() {
    const size_t from = at;
    while (letter(peek()) && at - from <= 9) ++at;
    const std::string name = lower_ascii(text.substr(from, at - from));
    for (size_t m = 0; m < kMonths.size(); ++m) {
      if (name != kMonths[m] && name != kMonths[m].substr(0, 3) && !(m == 8 && name == "sept")) continue;
      if (name.size() <= 4) take('.');
      return static_cast<int>(m) + 1;
    }
    return 0;
  }
  void ordinal() {
    const std::string two = lower_ascii(text.substr(std::min(at, text.size()), 2));
    if (two == "st" || two == "nd" || two == "rd" || two == "th") at += 2;
  }
  int year() {
    const size_t from = at;
    const int value = number(4);
    return at - from == 4 ? value : 0;
  }
};

// The date that starts at `at`, or nullopt; `end` is set behind it.
std::optional<Date> date_at(std::string_view text, size_t at, size_t& end) {
  Cursor c{text, at};
  Date d;
  if (letter(c.peek())) {  // March 5th, 2024
    d.month = c.month();
    if (d.month == 0 || !c.spaces()) return std::nullopt;
    d.day = c.number(2);
    c.ordinal();
    const bool comma = c.take(',');
    if (!c.spaces() && !comma) return std::nullopt;
    d.year = c.year();
  } else {
    const int first = c.number(4);
    const size_t digits = c.at - at;
    const char mark = c.peek();
    if (first == 0) return std::nullopt;
    if (mark == '-' || mark == '/' || mark == '.') {
      c.take(mark);
      if (digits == 4) {  // 2024-03-05
        d.year = first;
        d.month = c.number(2);
        if (!c.take(mark)) return std::nullopt;
        d.day = c.number(2);
      } else {  // 5.3.2024 (day first); 25/12/2024 where one order alone exists
        const int second = c.number(2);
        if (digits > 2 || !c.take(mark)) return std::nullopt;
        d = {c.year(), second, first};
        const Date other{d.year, first, second};
        if (mark != '.' && !exists(d))
          d = other;
        else if (mark != '.' && d != other && exists(other))
          return std::nullopt;
      }
    } else {  // 5th of March, 2024
      if (digits > 2) return std::nullopt;
      d.day = first;
      c.ordinal();
      if (!c.spaces()) return std::nullopt;
      if (lower_ascii(text.substr(c.at, 3)) == "of ") c.at += 3, c.spaces();
      d.month = c.month();
      if (d.month == 0) return std::nullopt;
      const bool comma = c.take(',');
      if (!c.spaces() && !comma) return std::nullopt;
      d.year = c.year();
    }
  }
  if (!exists(d) || word(c.peek())) return std::nullopt;
  // 2024-03-05-1 and 1.2.2024.5 are no dates.
  if ((c.peek() == '-' || c.peek() == '/' || c.peek() == '.') && c.at + 1 < text.size() && digit(text[c.at + 1]))
    return std::nullopt;
  end = c.at;
  return d;
}

}  // namespace

std::vector<FoundDate> find_dates(std::string_view text) {
  std::vector<FoundDate> found;
  for (size_t i = 0; i < text.size();) {
    const char before = i == 0 ? ' ' : text[i - 1];
    const bool starts =
        word(text[i]) && !word(before) &&
        !(i > 1 && std::string_view("-/.").find(before) != std::string_view::npos && digit(text[i - 2]));
    size_t end = i;
    const auto date = starts ? date_at(text, i, end) : std::nullopt;
    if (date) found.push_back({*date, i, end});
    i = date ? end : i + 1;
  }
  return found;
}

std::optional<Date> read_date(std::string_view text) {
  if (text.size() > 80) return std::nullopt;
  const std::vector<FoundDate> found = find_dates(text);
  if (found.size() != 1) return std::nullopt;
  const std::string rest =
      lower_ascii(std::string(text.substr(0, found[0].begin)) + " " + std::string(text.substr(found[0].end)));
  std::string name;
  for (const char c : rest + " ") {
    if (word(c)) {
      name += c;
    } else if (!name.empty()) {
      const auto known = [&](std::string_view day) { return name == day || name == day.substr(0, 3) || name == "on"; };
      if (std::none_of(kWeekdays.begin(), kWeekdays.end(), known)) return std::nullopt;
      name.clear();
    }
  }
  return found[0].date;
}

std::string iso_date(const Date& d) { return fmt::format("{:04}-{:02}-{:02}", d.year, d.month, d.day); }

}  // namespace retort::verify
