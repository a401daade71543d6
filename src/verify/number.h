// Reading an answer as a number: the normalisation that both comparison and voting rest on. Internal to verify.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <boost/multiprecision/cpp_int.hpp>

namespace retort::verify {

struct Number {
  boost::multiprecision::cpp_rational value;
  bool percent = false;  // a percent sign follows; `value` is as written
};

struct NumberReading {
  std::optional<Number> number;
  bool limit = false;  // a number, but past kMaxDigits or kMaxExponent
};

// `text` without LaTeX dressing, odd spaces and closing punctuation; case and words kept. Idempotent.
std::string undressed(std::string_view text);

// Reads the whole of an undressed answer as one number: sign, currency, thousands separators, decimals, fractions,
// mixed numbers, scientific notation, percent, thousand/million/billion/trillion, then units in words. `loose`: also a
// sentence of plain words with one number in it.
NumberReading read_number(std::string_view answer, bool loose);

}  // namespace retort::verify
