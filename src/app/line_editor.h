// Lines typed by a person: edited, recalled, kept between chats only where a file for them is named. libedit does the
// work; this owns its handles, hands it UTF-8 and lets a signal end the wait. For a terminal on standard input and
// standard error; nothing is left behind in the terminal's settings.
#pragma once

#include <memory>
#include <string>

namespace retort::app {

class LineEditor {
 public:
  enum class Got { Line, End, Interrupt };

  // `wake` becomes readable when a signal came. `history`: file of earlier lines, read now and written at the end,
  // readable by its owner only; "": nothing is kept.
  LineEditor(int wake, const std::string& history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  Got next(const std::string& prompt, std::string& line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Columns that the terminal on `fd` has, 0 where it is none. Columns of one character: 0 to 2.
int terminal_columns(int fd);
int character_columns(char32_t character);
// Makes the C library read UTF-8 in characters and widths, in whatever language the rest of it speaks.
void use_utf8();

}  // namespace retort::app
