// What a command says to its reader, on the terminal or into a pipe. Names, roles, ids and messages come from files and
// peers, so every line goes through shown() (base/text.h): inert on a terminal, and JSON still says the same. Data that
// a command was asked for (a rendered chat, ids, an answer) is written as it is, by std::fwrite.
#pragma once

#include <cstdio>
#include <utility>

#include <fmt/core.h>

#include "base/text.h"

namespace retort::app {

inline void say_to(std::FILE* file, std::string_view text) {
  const std::string inert = shown(text, true);
  std::fwrite(inert.data(), 1, inert.size(), file);
}
// As fmt::print, to standard output.
template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  say_to(stdout, fmt::format(format, std::forward<Args>(args)...));
}
// To standard error.
template <class... Args>
void say_error(fmt::format_string<Args...> format, Args&&... args) {
  say_to(stderr, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace retort::app
