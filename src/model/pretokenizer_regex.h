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

class Regex {
 public:
  // Errors: Invalid, naming the pattern and the place.
  static Result<Regex> compile(std::string_view pattern);
  // Appends the [begin, end) of all matches, left to right, not overlapping. `text` is valid UTF-8. A match that passes
  // PCRE2's work limits ends the search. Thread-safe.
  void find_all(std::string_view text, std::vector<std::pair<size_t, size_t>>& out) const;

 private:
  explicit Regex(std::shared_ptr<void> code) : code_(std::move(code)) {}
  std::shared_ptr<void> code_;  // pcre2_code
};

// The pattern in PCRE2's syntax. Exposed for tests.
Result<std::string> translate_regex(std::string_view pattern);

}  // namespace retort::model
