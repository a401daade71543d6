// Screen: an answer as it comes, on standard output. On a terminal the thought is dimmed, words go to the next line
// whole, and nothing that a model writes steers the terminal; elsewhere the text is as it came, the thought between its
// marks.
#pragma once

#include <string>
#include <string_view>

#include "model/generator.h"

namespace retort::app {

class Screen {
 public:
  explicit Screen(bool terminal);
  void show(const model::Delta& delta);
  void end();

 private:
  void put(std::string_view text);
  bool terminal_;
  bool thinking_ = false;
  int column_ = 0;    // where the next character goes
  std::string word_;  // shown already, on this line, since the last space
  int word_columns_ = 0;
};

// `text`, which ends no character in the middle, as it is shown on `columns` columns (0: no end) from `column` on.
// `word` holds what of the last word is shown; where it meets the edge it is taken back and goes to the next line.
std::string wrapped(std::string_view text, int columns, int& column, std::string& word, int& word_columns);

}  // namespace retort::app
