// Text as bytes and as UTF-8: the few operations that several modules need.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

bool is_utf8(std::string_view text);
// Invalid sequences become U+FFFD, one for each maximal invalid subpart (Unicode 15, section 3.9).
std::string to_utf8(std::string_view bytes);
// Length of the longest prefix that does not end inside a UTF-8 sequence: what a stream may show now.
size_t utf8_complete_prefix(std::string_view bytes);
void append_utf8(std::string& out, uint32_t code_point);

std::string_view trim(std::string_view text);  // ASCII white space
std::vector<std::string_view> split(std::string_view text, char separator);
std::string lower_ascii(std::string_view text);
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// Text from outside as a terminal may show it: control characters (C0, DEL, C1), line and paragraph separators, and the
// marks that reorder or hide what stands beside them become \uXXXX, which JSON reads back as the same character;
// invalid UTF-8 becomes U+FFFD. `lines`: line feeds and tabs stay. Longer than `limit` bytes (at least 64): its middle
// is left out and the number of bytes said.
std::string shown(std::string_view text, bool lines = false, size_t limit = SIZE_MAX);

// The candidate with the least Damerau-Levenshtein distance to `word`, or "" where none is within a third of its length
// (at least 1): for "unknown key `lerning_rate`; did you mean `learning_rate`?".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace retort
