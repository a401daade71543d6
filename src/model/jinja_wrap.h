// Python's textwrap.wrap, which Jinja's filter `wordwrap` is: tabs and other white space stay as they are, what lies at
// the rows' ends is dropped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace retort::model::jinja {

// The rows of one line, of at most `width` characters (at least 1) where a row need not hold a longer word.
// `break_long`: words longer than a row are cut; `break_hyphens`: a row may end after a word's hyphen.
std::vector<std::string> wrap(std::string_view text, size_t width, bool break_long, bool break_hyphens);

}  // namespace retort::model::jinja
