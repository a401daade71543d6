// Money is integer micro-dollars; prices are micro-dollars per million tokens. Costs round up, so a reservation is
// never too small. Sums stay at the ends of their range: whatever a peer bills, no total wraps round to less.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace retort {

// a + b, held at the ends of the range: for counts that come from outside.
constexpr int64_t saturating_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return b < 0 ? INT64_MIN : INT64_MAX;
  return sum;
}

// An amount of money. Its arithmetic saturates, so that a cap compares against a true lower bound of what is spent.
class UsdMicros {
 public:
  constexpr UsdMicros(int64_t micros = 0) : micros_(micros) {}
  constexpr int64_t micros() const { return micros_; }
  static constexpr UsdMicros most() { return INT64_MAX; }

  friend constexpr UsdMicros operator+(UsdMicros a, UsdMicros b) { return saturating_add(a.micros_, b.micros_); }
  friend constexpr UsdMicros operator-(UsdMicros a, UsdMicros b) {
    int64_t rest = 0;
    if (__builtin_sub_overflow(a.micros_, b.micros_, &rest)) return b.micros_ < 0 ? INT64_MAX : INT64_MIN;
    return rest;
  }
  friend constexpr UsdMicros operator*(int64_t times, UsdMicros a) {
    int64_t product = 0;
    if (__builtin_mul_overflow(times, a.micros_, &product))
      return (times < 0) != (a.micros_ < 0) ? INT64_MIN : INT64_MAX;
    return product;
  }
  constexpr UsdMicros& operator+=(UsdMicros other) { return *this = *this + other; }
  constexpr UsdMicros& operator-=(UsdMicros other) { return *this = *this - other; }
  friend constexpr auto operator<=>(const UsdMicros&, const UsdMicros&) = default;

 private:
  int64_t micros_;
};

// As a member of a Json value: the plain number.
template <class AnyJson>
void to_json(AnyJson& json, UsdMicros amount) {
  json = amount.micros();
}

// "0.25", "$3", "1e-3" to micro-dollars, exact; Invalid where it is negative, not a number, finer than a micro-dollar
// or over 9e12 dollars.
Result<UsdMicros> parse_usd(std::string_view text);
// "$0.001234": always six decimals below a dollar, two to six (no trailing zeros past two) from a dollar up.
std::string format_usd(UsdMicros amount);
// ceil(tokens * price / 1e6); saturates at INT64_MAX instead of wrapping.
UsdMicros token_cost(int64_t tokens, UsdMicros usd_micros_per_million);

}  // namespace retort
