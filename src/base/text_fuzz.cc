// Bytes as text: to_utf8() gives UTF-8 and leaves UTF-8 alone, a stream shown by complete prefixes adds up to the
// whole, and the small tools keep every byte.
#include "base/text.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {"plain text, two words", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
          "\xF0\x9F\x98",          "\xE0\x80\xAF\xC0\x80\xED\xA0\x80",
          " \t padded \r\n",       "\xFF\xFE,\x80,,a"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view bytes = fuzz::text_of(data, size);
  const std::string text = to_utf8(bytes);
  RETORT_CHECK(is_utf8(text));
  RETORT_CHECK(to_utf8(text) == text);
  RETORT_CHECK(is_utf8(bytes) == (text == bytes));
  if (is_utf8(bytes)) RETORT_CHECK(utf8_complete_prefix(bytes) == bytes.size());

  std::string held, shown;
  for (const std::string_view piece : fuzz::cut(bytes)) {
    held += piece;
    const size_t sure = utf8_complete_prefix(held);
    RETORT_CHECK(sure <= held.size() && held.size() - sure <= 3);
    shown += to_utf8(std::string_view(held).substr(0, sure));
    held.erase(0, sure);
  }
  RETORT_CHECK(shown + to_utf8(held) == text);

  std::string joined;
  for (const std::string_view part : split(bytes, ',')) joined.append(part).append(",");
  joined.pop_back();
  RETORT_CHECK(joined == bytes);
  RETORT_CHECK(replace_all(bytes, ",", ",") == bytes);
  RETORT_CHECK(trim(trim(bytes)) == trim(bytes));
  RETORT_CHECK(lower_ascii(lower_ascii(bytes)) == lower_ascii(bytes));
  const std::vector<std::string> known = {"learning_rate", "batch", "samples"};
  const std::string near = nearest(bytes.substr(0, 64), known);
  RETORT_CHECK(near.empty() || std::find(known.begin(), known.end(), near) != known.end());
  return 0;
}
