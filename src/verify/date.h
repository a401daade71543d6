// Calendar dates in text: 2024-03-05, 2024/3/5, 5 March 2024, March 5th, 2024, 5.3.2024, 25/12/2024. A date in figures
// whose day and month could change places (03/05/2024) is none: which of the two was meant cannot be known.
// Linear in the text. Non-goals: times of day, dates without a year, calendars other than the Gregorian.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retort::verify {

struct Date {
  int year = 0, month = 0, day = 0;
  bool operator==(const Date&) const = default;
};

struct FoundDate {
  Date date;
  size_t begin = 0, end = 0;  // bytes of the text
};

// All dates that exist (no 30 February), in the order of the text.
std::vector<FoundDate> find_dates(std::string_view text);

// The text as one date, with nothing but punctuation and a weekday's name beside it.
std::optional<Date> read_date(std::string_view text);

// "2024-03-05"
std::string iso_date(const Date& date);

}  // namespace retort::verify
