// Regex: a pattern in Oniguruma's (Ruby's) syntax, as Hugging Face's library reads it, run by PCRE2. The translation
// knows what pre-tokenizer patterns use and refuses the rest by name, because the two dialects differ silently:
// \h, \s, scripts, nested classes, {n,m}+, and four years of Unicode.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace retort::model {

// What cutting one text may still take: steps of matching beside a few for each character, enough for tokens as long as
// the text, and time of the processor, since a step may run through all of a text (`a+` is one). Patterns of known
// models take a hundredth of it; others end within seconds.
struct RegexWork {
  int64_t steps = 0;
  int64_t cpu_ns = 0;
};
RegexWork regex_work(size_t text_bytes);

class Regex {
 public:
  // Errors: Invalid, naming the pattern and the place.
  static Result<Regex> compile(std::string_view pattern);
  // Appends the [begin, end) of all matches, left to right, not overlapping. `text` is valid UTF-8. What goes beyond a
  // few steps for each character is taken from `work`; Limit where that is used up, or PCRE2's memory. Thread-safe.
  Status find_all(std::string_view text, std::vector<std::pair<size_t, size_t>>& out, RegexWork& work) const;

 private:
  Regex(std::shared_ptr<void> search, std::shared_ptr<void> here, std::string pattern)
      : search_(std::move(search)), here_(std::move(here)), pattern_(std::move(pattern)) {}
  std::shared_ptr<void> search_, here_;  // pcre2_code: the same pattern, for all places and for one place
  std::string pattern_;                  // its beginning, for messages
};

// The pattern in PCRE2's syntax. Exposed for tests.
Result<std::string> translate_regex(std::string_view pattern);

}  // namespace retort::model
