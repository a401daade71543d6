// Leaks of the teacher's identity: sentences in which a model names itself, its maker or its being a model. A student
// must not learn that it is somebody else. The lists are data (identity_lists.cc), in several languages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace retort::curate {

struct Scrub {
  std::string text;   // without the leaks, where it could be mended
  int removed = 0;    // clauses and sentences taken out
  bool whole = true;  // false: a leak cannot be taken out without losing content (its sentence holds a figure)
  std::string first;  // the first leak found, "" where none
};

// Finds leaks in `text` and takes them out: a leading clause ("As ChatGPT, ...") alone where one names the model, else
// the sentence. `question` (what was asked) may itself name models: names that it uses are no leaks unless the model
// says that it is one. `names`: further names that must not appear. Linear in text times names.
Scrub scrub_identity(std::string_view text, std::string_view question, const std::vector<std::string>& names);

}  // namespace retort::curate
