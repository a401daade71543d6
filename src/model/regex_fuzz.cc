// Patterns of pre-tokenizers and the text they cut (a zero byte between them): matches lie in order, do not overlap,
// and never part a character.
#include "base/fuzz/target.h"
#include "base/text.h"
#include "model/pretokenizer.h"
#include "model/pretokenizer_regex.h"

std::vector<std::string> retort::fuzz::seeds() {
  const std::string text =
      std::string(1, '\0') + "It's 12,345 caf\xC3\xA9s!\r\n\n  \xE4\xBD\xA0\xE5\xA5\xBD x_y \xF0\x9F\x98\x80";
  std::vector<std::string> out;
  for (const std::string_view pattern :
       {model::kGpt2Pattern, model::kLlama3Pattern, model::kQwen2Pattern, std::string_view("[a-z&&[^x]]+|\\h{2,3}+"),
        std::string_view("\\p{Han}+|[^\\p{P}\\s]|(?i:AB)(?=c)"),
        std::string_view("\\x{4E00}[\\]\\-]*?|\\d{1,3}(?!\\d)")})
    out.push_back(std::string(pattern) + text);
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  std::string_view input = fuzz::text_of(data, size);
  const std::string pattern(fuzz::take_until(input, '\0'));
  const std::string text = to_utf8(input);
  const auto regex = model::Regex::compile(pattern);
  if (!regex.ok()) {
    fuzz::check_refusal(regex.error());
    return 0;
  }
  std::vector<std::pair<size_t, size_t>> matches;
  model::RegexWork work = model::regex_work(text.size());
  if (const Status found = regex->find_all(text, matches, work); !found.ok()) fuzz::check_refusal(found.error());
  RETORT_CHECK(work.steps > -model::regex_work(text.size()).steps);
  size_t at = 0;
  for (const auto& [begin, end] : matches) {
    RETORT_CHECK(at <= begin && begin <= end && end <= text.size());
    RETORT_CHECK(is_utf8(std::string_view(text).substr(begin, end - begin)));
    at = end;
  }
  if (const model::Scanner scanner = model::scanner_for(pattern); scanner != nullptr) {
    RETORT_CHECK(work.steps == model::regex_work(text.size()).steps);  // known patterns need no more than what is free
    for (size_t i = 0, n = 0; i < text.size(); ++n) {
      const size_t end = scanner(text, i);
      RETORT_CHECK(n < matches.size() && matches[n] == std::pair(i, end));
      i = end;
    }
  }
  return 0;
}
