// PreTokenizer: cuts text into the words that BPE works on, as the `pre_tokenizer` of a tokenizer.json says: ByteLevel,
// Digits, Split (string or regular expression) and Sequences of them. The usual patterns (GPT-2, Llama 3, Qwen 2) have
// hand-written scanners; any other runs on PCRE2's JIT. Non-goals: offsets, Whitespace, Metaspace, BertPreTokenizer.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace retort::model {

struct RegexWork;  // pretokenizer_regex.h

// The patterns with scanners of their own.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The end of the match that begins at `i` < text.size(). These patterns match at every position.
using Scanner = size_t (*)(std::string_view text, size_t i);
// The scanner for exactly this pattern, nullptr where there is none.
Scanner scanner_for(std::string_view pattern);

class PreTokenizer {
 public:
  // null: one piece, not byte-level. Errors: Invalid, naming the type or the pattern.
  static Result<PreTokenizer> from_json(const Json& section);
  // Appends the words of `text` (valid UTF-8) to `out`, none of them empty. They point into `text` or, where a space
  // was put before, into `owned`. Limit where a pattern takes more than what is left of `work` (regex_work() of the
  // whole text, which may come in parts). Thread-safe.
  Status split(std::string_view text, std::vector<std::string_view>& out, std::deque<std::string>& owned,
               RegexWork& work) const;
  // True where words reach BPE in the byte-level alphabet, which a Tokenizer needs.
  bool byte_level() const { return byte_level_; }

  struct Step;

 private:
  Status add(const Json& section);
  std::vector<std::shared_ptr<const Step>> steps_;
  bool byte_level_ = false;
};

}  // namespace retort::model
