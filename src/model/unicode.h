// Character classes and normalisation as Hugging Face's tokenizers see them: Unicode 16 categories from
// unicode_tables.cc (PCRE2 and utf8proc of Debian 12 know 14 and 15; tools/unicode_tables.py makes it), normal forms
// from utf8proc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace retort::model {

struct CodeRange {
  uint32_t first, last;
};
struct AddedRange {
  const char* category;  // "Lo"
  uint32_t first, last;
};
namespace unicode_tables {
extern const CodeRange kLetters[];
extern const size_t kLettersCount;
extern const CodeRange kNumbers[];
extern const size_t kNumbersCount;
extern const AddedRange kAdded[];
extern const size_t kAddedCount;
extern const CodeRange kAddedHan[];
extern const size_t kAddedHanCount;
}  // namespace unicode_tables

enum CharClass : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 4, kWord = 8, kDigit17 = 16 };

// One byte of CharClass bits for each code point below 0x110000. kNumber: category N in Unicode 16; kDigit17: in
// Unicode 17 (Rust's is_numeric, for the Digits pre-tokenizer); kSpace: White_Space; kWord: Rust's \w.
const uint8_t* char_classes();

// A code point and its length in bytes. Precondition: valid UTF-8, i < text.size().
struct CodePoint {
  uint32_t value;
  uint32_t length;
};
inline CodePoint code_point_at(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i + k])); };
  const uint32_t a = byte(0);
  if (a < 0x80) return {a, 1};
  if (a < 0xE0) return {((a & 0x1F) << 6) | (byte(1) & 0x3F), 2};
  if (a < 0xF0) return {((a & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F), 3};
  return {((a & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F), 4};
}

enum class NormalForm { Nfc, Nfd, Nfkc, Nfkd };
// Precondition: valid UTF-8.
std::string normalize(std::string_view text, NormalForm form);

}  // namespace retort::model
