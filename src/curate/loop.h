// Looping text: a model that fell into repeating itself. Linear in the text.
#pragma once

#include <string>
#include <string_view>

namespace retort::curate {

struct LoopLimits {
  int repeats = 6;     // times the ending must repeat
  int bytes = 160;     // bytes that the repeated ending must cover
  double share = 0.6;  // share of word 8-grams seen before, in texts of 100 words or more
};

// "" or what repeats: "ends with the same 24 bytes 31 times", "71 % of its 8-grams repeat".
std::string find_loop(std::string_view text, const LoopLimits& limits);

}  // namespace retort::curate
