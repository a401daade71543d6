// Amounts of money as people write them: never negative, never beyond the bound, and printed they read back exactly.
#include "base/money.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {"0.25", "$3", "1e-3", "9000000000000", "0.000001", ".5", "1.5E+2", "000.10", "123456789.123456"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const auto amount = parse_usd(fuzz::text_of(data, size));
  if (!amount.ok()) {
    fuzz::check_refusal(amount.error());
    return 0;
  }
  RETORT_CHECK(*amount >= 0 && *amount <= 9'000'000'000'000'000'000);
  const auto again = parse_usd(format_usd(*amount));
  RETORT_CHECK(again.ok() && *again == *amount);
  RETORT_CHECK(token_cost(1'000'000, *amount) == *amount);
  RETORT_CHECK(token_cost(INT64_MAX, *amount) >= token_cost(1, *amount));
  return 0;
}
