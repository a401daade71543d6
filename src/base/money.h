// Money is integer micro-dollars; prices are micro-dollars per million tokens. Costs round up, so a reservation is
// never too small.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace retort {

using UsdMicros = int64_t;

// "0.25", "$3", "1e-3" to micro-dollars, exact; Invalid where it is negative, not a number, finer than a micro-dollar
// or over 9e12 dollars.
Result<UsdMicros> parse_usd(std::string_view text);
// "$0.001234": always six decimals below a dollar, two to six (no trailing zeros past two) from a dollar up.
std::string format_usd(UsdMicros micros);
// ceil(tokens * price / 1e6); saturates at INT64_MAX instead of wrapping.
UsdMicros token_cost(int64_t tokens, UsdMicros usd_micros_per_million);

}  // namespace retort
