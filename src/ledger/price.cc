#include "ledger/price.h"

#include <algorithm>
#include <vector>

#include "base/json.h"
#include "base/options.h"
#include "base/text.h"

namespace retort::ledger {
namespace {

UsdMicros round_up(__int128 micro_micros) {
  const __int128 cost = (micro_micros + 999'999) / 1'000'000;
  return cost > UsdMicros::most().micros() ? UsdMicros::most() : UsdMicros(static_cast<int64_t>(cost));
}

__int128 product(int64_t tokens, UsdMicros price) { return static_cast<__int128>(tokens) * price.micros(); }

// A price as written: the decimal text, so that 0.1 is exactly a tenth.
Result<UsdMicros> read_price(const Json& value, const std::string& where) {
  if (!value.is_number() && !value.is_string())
    return fail(Code::Invalid, "`{}` must be dollars per million tokens, such as 2.50", where);
  auto price = parse_usd(value.is_string() ? value.get<std::string>() : to_text(value));
  if (!price.ok()) return within("`" + where + "`", std::move(price).error());
  return price;
}

}  // namespace

Result<PriceList> parse_prices(std::string_view yaml) {
  RETORT_ASSIGN(const Json file, parse_yaml(yaml));
  if (!file.is_object())
    return fail(Code::Invalid, "a price file must map model names to prices: `name: {{input: 2.50, output: 10.00}}`");
  PriceList out;
  for (const auto& [model, entry] : file.items()) {
    if (!entry.is_object())
      return fail(Code::Invalid, "`{}` must be a map: `{}: {{input: 2.50, output: 10.00}}`", model, model);
    RETORT_TRY(options_detail::check_keys(entry, {"input", "output", "cached_input", "reasoning"}, model));
    Price price;
    for (const char* key : {"input", "output"}) {
      const Json* value = find(entry, key);
      if (value == nullptr) return fail(Code::Invalid, "`{}` lacks `{}`, dollars per million tokens", model, key);
      RETORT_ASSIGN((std::string_view(key) == "input" ? price.input : price.output),
                    read_price(*value, model + "." + key));
    }
    price.cached_input = price.input;
    price.reasoning = price.output;
    if (const Json* value = find(entry, "cached_input")) {
      RETORT_ASSIGN(price.cached_input, read_price(*value, model + ".cached_input"));
    }
    if (const Json* value = find(entry, "reasoning")) {
      RETORT_ASSIGN(price.reasoning, read_price(*value, model + ".reasoning"));
    }
    out[model] = price;
  }
  return out;
}

Result<PriceList> load_prices(const std::string& path, Env& env) {
  auto text = env.read_file(path);
  if (!text.ok()) return within("the price file", std::move(text).error());
  auto prices = parse_prices(*text);
  if (!prices.ok()) return within(path, std::move(prices).error());
  return prices;
}

Result<Price> price_of(const PriceList& prices, const std::string& model, const std::string& path) {
  const auto it = prices.find(model);
  if (it != prices.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [name, unused] : prices) names.push_back(name);
  const std::string close = nearest(model, names);
  return fail(
      Code::Invalid,
      "no price for the model `{}` in {}{}; without one the cap cannot be kept. Write there (dollars per million "
      "tokens, 0 where it is free):\n{}: {{input: 2.50, output: 10.00}}",
      model, path, close.empty() ? "" : " (did you mean `" + close + "`?)", model);
}

UsdMicros charge(const Price& price, const Usage& usage) {
  const int64_t in = std::max<int64_t>(usage.prompt_tokens, 0), out = std::max<int64_t>(usage.completion_tokens, 0);
  const int64_t thought = std::clamp<int64_t>(usage.reasoning_tokens, 0, out);
  const int64_t cached = std::clamp<int64_t>(usage.cached_tokens, 0, in);
  return round_up(product(in - cached, price.input) + product(cached, price.cached_input) +
                  product(out - thought, price.output) + product(thought, price.reasoning));
}

UsdMicros worst_case(const Price& price, int64_t prompt_bound, int64_t max_tokens) {
  return round_up(product(prompt_bound, std::max(price.input, price.cached_input)) +
                  product(max_tokens, std::max(price.output, price.reasoning)));
}

}  // namespace retort::ledger
