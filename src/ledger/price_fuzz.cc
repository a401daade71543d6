// Price lists: a price that is accepted is not negative, and the worst case of a request is never below its charge.
#include "ledger/price.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {"gpt-large:\n  input: 2.50\n  output: 10.00\n  cached_input: 1.25\n  reasoning: 12\n",
          "m: {input: 0, output: 0.000001}\n",
          "m: {input: \"$3\", output: 1e1}\nn: {input: 9000000000000, output: 9000000000000}\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const auto prices = ledger::parse_prices(fuzz::text_of(data, size));
  if (!prices.ok()) {
    fuzz::check_refusal(prices.error());
    return 0;
  }
  for (const auto& [model, price] : *prices) {
    RETORT_CHECK(ledger::price_of(*prices, model, "prices.yaml").ok());
    for (const UsdMicros part : {price.input, price.output, price.cached_input, price.reasoning})
      RETORT_CHECK(part >= 0);
    const Usage usage{1000, 500, 400};
    const UsdMicros charged = ledger::charge(price, usage);
    RETORT_CHECK(charged >= 0 && ledger::worst_case(price, 1000, 500) >= charged);
  }
  RETORT_CHECK(!ledger::price_of(*prices, "no such model", "prices.yaml").ok());
  return 0;
}
