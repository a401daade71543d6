// The final answer inside a model's text: what it boxed, announced or wrote last. Linear in the text; never fails on
// any bytes. Non-goal: judging the answer (verify/equal.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace retort::verify {

struct Answer {
  std::string text;  // trimmed; not normalised further
  std::string how;   // "boxed", "hash", "phrase", "line", "stated", "last_number": the first of these that was found
};

// In this order, each time the last occurrence, after the thought (`<think>...</think>`; a thought that never closes
// hides everything after it) was taken off:
//   boxed        \boxed{...}, \fbox{...} with nested braces (an unclosed one is no answer);
//   hash         "#### x" to the end of the line (GSM8K);
//   phrase       "the answer is x", "answer: x", "A: x" at a line's start, and the like in several languages, to the
//                end of the sentence;
//   line         the whole text where it is one word, or a short line (kShortLine bytes) without a number;
//   stated       "There are x inches in 10 feet.": what such a sentence says there is (stated_quantity);
//   last_number  the last number, fraction, percentage or amount of money.
inline constexpr size_t kShortLine = 64;
std::optional<Answer> extract_answer(std::string_view text);

// `text` without <think> blocks, and whether a thought was opened and never closed.
struct Stripped {
  std::string text;
  bool cut_thought = false;
};
Stripped strip_thought(std::string_view text);

// The end of the sentence or line that starts at `at`: a full stop counts where no digit follows it directly.
size_t sentence_end(std::string_view text, size_t at);
// An announced answer without Markdown's emphasis, quotes, leading colons and closing punctuation.
std::string undress(std::string_view text);
// The last number of a text, with its sign, currency and percent mark; and the first.
std::optional<std::string> last_number(std::string_view text);
std::optional<std::string> first_number(std::string_view text);

}  // namespace retort::verify
