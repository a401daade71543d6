#include "app/chat_screen.h"

#include <cstdio>

#include <fmt/core.h>
#include <unistd.h>

#include "app/line_editor.h"
#include "base/text.h"

namespace retort::app {
namespace {

void write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

struct Character {
  char32_t code = 0;
  size_t length = 1;
};

// The first character of text that is UTF-8; elsewhere its first byte.
Character first_of(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  const size_t length = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
  if (length == 1 || length > text.size()) return {byte, 1};
  char32_t code = byte & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
  return {code, length};
}

}  // namespace

std::string wrapped(std::string_view text, int columns, int& column, std::string& word, int& word_columns) {
  std::string out;
  const auto forget_word = [&] { word.clear(), word_columns = 0; };
  // The last column stays free: what a terminal does after it differs from one to the next.
  const int edge = columns > 2 ? columns - 1 : 1 << 30;
  while (!text.empty()) {
    const Character c = first_of(text);
    const std::string_view bytes = text.substr(0, c.length);
    text.remove_prefix(c.length);
    // Neither C0 nor C1 controls pass.
    if (c.code == '\n') {
      out += '\n';
      column = 0;
      forget_word();
      continue;
    }
    if (c.code == '\t' || c.code == ' ') {
      forget_word();
      const int to = c.code == '\t' ? (column / 8 + 1) * 8 : column + 1;
      if (to > edge) {
        out += '\n';
        column = 0;
      } else {
        out += bytes;
        column = to;
      }
      continue;
    }
    if (c.code < ' ' || (c.code >= 0x7f && c.code < 0xA0)) continue;
    const int wide = character_columns(c.code);
    if (column + wide > edge) {
      const bool whole_line = word_columns >= column;  // a word as long as the line is cut where it meets the edge
      if (!whole_line && word_columns > 0) out += fmt::format("\033[{}D\033[K", word_columns);
      out += '\n';
      if (whole_line) forget_word();
      out += word;
      column = word_columns;
    }
    out += bytes;
    column += wide;
    // Wide characters are words of their own, as lines of Chinese break anywhere.
    if (wide > 1) {
      forget_word();
    } else {
      word += bytes;
      word_columns += wide;
    }
  }
  return out;
}

Screen::Screen(bool terminal) : terminal_(terminal) {
  if (terminal_) use_utf8();
}

void Screen::show(const model::Delta& delta) {
  if (!delta.reasoning.empty()) {
    if (!thinking_) write(terminal_ ? "\033[2m" : "<think>\n");
    thinking_ = true;
    put(delta.reasoning);
  }
  if (!delta.content.empty()) {
    if (thinking_) write(terminal_ ? "\033[0m\n\n" : "\n</think>\n");
    if (thinking_) column_ = word_columns_ = 0, word_.clear();
    thinking_ = false;
    put(delta.content);
  }
}

void Screen::end() {
  if (thinking_) write(terminal_ ? "\033[0m" : "\n</think>");
  thinking_ = false;
  write("\n");
  column_ = word_columns_ = 0;
  word_.clear();
}

void Screen::put(std::string_view text) {
  write(terminal_ ? wrapped(text, terminal_columns(STDOUT_FILENO), column_, word_, word_columns_) : std::string(text));
}

}  // namespace retort::app
