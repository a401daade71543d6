// Whether two answers are the same. Numbers are compared exactly as rationals (Boost.Multiprecision), so 0.5 = 1/2 =
// \frac{1}{2} = 50/100 and 0.33 != 1/3; what is not a number is compared as normalised text. Bounded: no input can make
// it slow. Non-goals, left to a later module: algebra, sets, intervals, tolerance.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace retort::verify {

struct Verdict {
  bool equal = false;
  // The rule that decided: "number" (exact rationals), "percent" (one side carries % and the numbers agree with the
  // mark dropped or as a hundredth), "choice" (a multiple-choice letter), "text" (normalised text), "empty" (a side is
  // empty), "limit" (a number beyond kMaxDigits or kMaxExponent: compared as text).
  std::string how;
};

// Largest count of digits and largest decimal exponent of a number that is compared as one.
inline constexpr int kMaxDigits = 1'000;
inline constexpr int kMaxExponent = 400;
// Longer answers than this are compared as raw bytes.
inline constexpr size_t kMaxAnswerBytes = 4'096;

// `gold` is a reference answer and `pred` an extracted one (verify/answer.h): both short texts, not whole solutions.
// Rules: units in words, currency, thousands separators, LaTeX dressing, a leading "x =" and closing punctuation do not
// count; decimals are exact (2.50 = 2.5, 2.5 != 2.49); a percent sign on one side only may be meant or dropped; letters
// A-J compare as choices, "(B)" = "B" = "b." = "B) 12".
Verdict equal(std::string_view gold, std::string_view pred);

// A key that is the same for answers that equal() takes for the same number or text (percent signs dropped): what votes
// are counted by. "" for an empty answer.
std::string vote_key(std::string_view answer);

}  // namespace retort::verify
