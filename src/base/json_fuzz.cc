// JSON from outside: what was parsed is written and read back to the same text, nesting is bounded, and the getters
// take any value.
#include "base/json.h"

#include "base/fuzz/target.h"

namespace {

int depth_of(const retort::Json& json) {
  if (!json.is_structured()) return 0;
  int deepest = 0;
  for (const retort::Json& item : json) deepest = std::max(deepest, depth_of(item));
  return deepest + 1;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {R"({"a":1,"b":-2.5e-3,"c":[true,false,null],"d":{"e":"\u00e9\n\ud83d\ude00"}})",
          R"([1,18446744073709551615,-9223372036854775808,0.1,1e308,-0.0])",
          R"("text")",
          "[[[[[[]]]]]]",
          R"({"key":"","key":{"key":1}})",
          std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']'),
          std::string(kMaxJsonDepth + 1, '[') + std::string(kMaxJsonDepth + 1, ']')};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const auto json = parse_json(fuzz::text_of(data, size));
  if (!json.ok()) {
    fuzz::check_refusal(json.error());
    return 0;
  }
  RETORT_CHECK(depth_of(*json) <= kMaxJsonDepth);
  const std::string text = to_text(*json);
  const auto again = parse_json(text);
  RETORT_CHECK(again.ok());
  RETORT_CHECK(to_text(*again) == text);
  std::vector<std::string> keys = {"absent"};
  if (json->is_object())
    for (const auto& [key, value] : json->items()) keys.push_back(key);
  for (const std::string& key : keys) {
    const auto number = get_int(*json, key, 7);
    if (number.ok() && *number != 7) RETORT_CHECK(need_int(*json, key).ok());
    const auto words = get_string(*json, key, "x");
    if (!words.ok()) RETORT_CHECK(words.error().message.find(key) != std::string::npos);
    for (const bool ok : {get_double(*json, key, 0).ok(), get_bool(*json, key, false).ok()}) (void)ok;
    if (find(*json, key) == nullptr) RETORT_CHECK(!need_string(*json, key).ok());
  }
  return 0;
}
