// What a sentence states, read by the kind of answer that is looked for: the second look of the rule `auto` at replies
// that neither box nor announce their answer. Sound before complete: a sentence that denies, doubts, asks or offers
// several answers states none. Linear in the text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "verify/answer.h"

namespace retort::verify {

// Number: read_number() takes it. Date: read_date() does. Choice: a letter A-J. Polar: yes, no, true, false. Text: any
// other short line. Other: longer ones, of which no sentence is read.
enum class Kind { Number, Date, Choice, Polar, Text, Other };
Kind kind_of(std::string_view reference);

// The answer of `kind` that `text` (without its thought) states; `how` is "stated", or "label" for "Label: x" on a line
// of its own. Dates come as 2024-03-05, choices as one letter. Nothing for Number (extract_answer) and Other.
//   Date    the one date of the last sentence that holds any;
//   Choice  the one letter that the last line marks: (B), **B**, option B, "B." or "B)" at its start;
//   Polar   the word that opens the first or the last sentence, where its opposite stands nowhere; else as Text;
//   Text    what follows the one "is", "are", "was" or "were" of the last sentence.
std::optional<Answer> stated(Kind kind, std::string_view text);

// "There are 120 inches in 10 feet." states 120: of a text that is this one sentence.
std::optional<std::string> stated_quantity(std::string_view text);

// The letter of a multiple-choice answer: "B", "(B)", "b.", "B) 12", "(D) Alina"; '\0' where it is none.
char choice_letter(std::string_view text);

}  // namespace retort::verify
