#include "base/money.h"

#include <cctype>
#include <limits>

namespace retort {

Result<UsdMicros> parse_usd(std::string_view text) {
  std::string_view s = text;
  if (!s.empty() && s.front() == '$') s.remove_prefix(1);
  const auto bad = [&] {
    return fail(Code::Invalid,
                "`{}` is not an amount in dollars; write a number such as 0.25 (micro-dollars are the finest step)",
                text);
  };
  // Mantissa digits and the power of ten that belongs to them.
  __int128 digits = 0;
  int exponent = 6, count = 0;
  bool seen_point = false;
  size_t i = 0;
  for (; i < s.size(); ++i) {
    const char c = s[i];
    if (c == '.' && !seen_point) {
      seen_point = true;
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      if (++count > 30) return bad();
      digits = digits * 10 + (c - '0');
      if (seen_point) --exponent;
    } else {
      break;
    }
  }
  if (count == 0) return bad();
  if (i < s.size()) {
    if (s[i] != 'e' && s[i] != 'E') return bad();
    int sign = 1, power = 0, power_digits = 0;
    for (++i; i < s.size(); ++i) {
      const char c = s[i];
      if ((c == '-' || c == '+') && power_digits == 0 && (s[i - 1] == 'e' || s[i - 1] == 'E')) {
        sign = c == '-' ? -1 : 1;
      } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 && ++power_digits <= 2) {
        power = power * 10 + (c - '0');
      } else {
        return bad();
      }
    }
    if (power_digits == 0) return bad();
    exponent += sign * power;
  }
  if (digits == 0) return UsdMicros();
  constexpr __int128 kMost = static_cast<__int128>(9'000'000'000'000) * 1'000'000;
  for (; exponent > 0; --exponent) {
    digits *= 10;
    if (digits > kMost) return bad();
  }
  for (; exponent < 0; ++exponent) {
    if (digits % 10 != 0) return bad();
    digits /= 10;
  }
  if (digits > kMost) return bad();
  return UsdMicros(static_cast<int64_t>(digits));
}

std::string format_usd(UsdMicros amount) {
  const int64_t micros = amount.micros();
  const bool negative = micros < 0;
  const uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(micros) : static_cast<uint64_t>(micros);
  const uint64_t dollars = magnitude / 1000000;
  std::string fraction = fmt::format("{:06}", magnitude % 1000000);
  if (dollars > 0 || magnitude == 0) {
    while (fraction.size() > 2 && fraction.back() == '0') fraction.pop_back();
  }
  return fmt::format("{}${}.{}", negative ? "-" : "", dollars, fraction);
}

UsdMicros token_cost(int64_t tokens, UsdMicros usd_micros_per_million) {
  const __int128 product = static_cast<__int128>(tokens) * usd_micros_per_million.micros();
  const __int128 cost = (product + 999999) / 1000000;
  return cost > UsdMicros::most().micros() ? UsdMicros::most() : UsdMicros(static_cast<int64_t>(cost));
}

}  // namespace retort
