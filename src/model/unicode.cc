#include "model/unicode.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <vector>

#include <utf8proc.h>

namespace retort::model {
namespace {

constexpr uint32_t kCodePoints = 0x110000;

std::vector<uint8_t> make_classes() {
  using namespace unicode_tables;
  std::vector<uint8_t> table(kCodePoints, kOther);
  const auto mark = [&](uint32_t first, uint32_t last, uint8_t bits) {
    for (uint32_t c = first; c <= last; ++c) table[c] = static_cast<uint8_t>(table[c] | bits);
  };
  for (uint32_t c = 0x80; c < kCodePoints; ++c) {
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
      case UTF8PROC_CATEGORY_MN:
      case UTF8PROC_CATEGORY_MC:
      case UTF8PROC_CATEGORY_ME:
      case UTF8PROC_CATEGORY_PC:
      case UTF8PROC_CATEGORY_ND:
      case UTF8PROC_CATEGORY_NL: table[c] = kWord; break;
      default: break;
    }
  }
  for (size_t i = 0; i < kLettersCount; ++i) mark(kLetters[i].first, kLetters[i].last, kLetter | kWord);
  for (size_t i = 0; i < kNumbersCount; ++i) mark(kNumbers[i].first, kNumbers[i].last, kNumber | kDigit17);
  for (size_t i = 0; i < kAddedCount; ++i) {
    const AddedRange& r = kAdded[i];
    if (r.category[0] == 'M' || (r.category[0] == 'N' && r.category[1] != 'o')) mark(r.first, r.last, kWord);
  }
  mark('0', '9', kWord);
  mark('_', '_', kWord);
  mark(0x200C, 0x200D, kWord);       // Join_Control
  mark(0x24B6, 0x24E9, kWord);       // Other_Alphabetic: circled letters
  mark(0x1F130, 0x1F149, kWord);     // ... squared letters
  mark(0x1F150, 0x1F169, kWord);     // ... negative circled letters
  mark(0x1F170, 0x1F189, kWord);     // ... negative squared letters
  mark(0x11DE0, 0x11DE9, kDigit17);  // Unicode 17: Tolong Siki digits
  mark(0x16FF4, 0x16FF6, kDigit17);  // ... Yangqin numbers
  for (const CodeRange r : {CodeRange{0x09, 0x0D},
                            {0x20, 0x20},
                            {0x85, 0x85},
                            {0xA0, 0xA0},
                            {0x1680, 0x1680},
                            {0x2000, 0x200A},
                            {0x2028, 0x2029},
                            {0x202F, 0x202F},
                            {0x205F, 0x205F},
                            {0x3000, 0x3000}}) {
    mark(r.first, r.last, kSpace);
  }
  return table;
}

// Combining marks (and the one composing vowel, U+11930) that came after the Unicode version of the crate in Hugging
// Face's normaliser. It treats them as starters, so they end one stretch of reordering and begin the next.
constexpr CodeRange kLateMarks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

bool late_mark(uint32_t code_point) {
  const auto* it = std::upper_bound(std::begin(kLateMarks), std::end(kLateMarks), code_point,
                                    [](uint32_t c, const CodeRange& r) { return c < r.first; });
  return it != std::begin(kLateMarks) && code_point <= (it - 1)->last;
}

void normalize_part(std::string_view text, NormalForm form, std::string& out_text) {
  const bool compat = form == NormalForm::Nfkc || form == NormalForm::Nfkd;
  const bool compose = form == NormalForm::Nfc || form == NormalForm::Nfkc;
  const int options =
      UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compat ? UTF8PROC_COMPAT : 0);
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(out, &std::free);
  if (n < 0) {
    out_text += text;  // only on lack of memory, given valid UTF-8
    return;
  }
  out_text.append(reinterpret_cast<const char*>(out), static_cast<size_t>(n));
}

}  // namespace

const uint8_t* char_classes() {
  static const std::vector<uint8_t> table = make_classes();
  return table.data();
}

std::string normalize(std::string_view text, NormalForm form) {
  bool ascii = true;
  for (const char c : text) ascii &= static_cast<uint8_t>(c) < 0x80;
  if (ascii) return std::string(text);
  std::string out;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point_at(text, i);
    if (c.value >= kLateMarks[0].first && late_mark(c.value)) {
      if (begin < i) normalize_part(text.substr(begin, i - begin), form, out);
      out += text.substr(i, c.length);
      begin = i + c.length;
    }
    i += c.length;
  }
  if (begin < text.size()) normalize_part(text.substr(begin), form, out);
  return out;
}

}  // namespace retort::model
