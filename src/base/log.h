// One log to standard error, behind spdlog (kept out of this header for compile time). Libraries of retort log at debug
// and info only; what a caller must act on is returned as an Error. Secrets never reach a log: wrap them in
// base/secret.h.
#pragma once

#include <cstddef>
#include <string_view>

#include <fmt/core.h>

namespace retort::log {

enum class Level { Debug, Info, Warn, Error, Off };

// Longest message that is shown whole, in bytes; of a longer one the middle is left out.
inline constexpr size_t kMaxMessage = 8 << 10;

// Messages below `level` are dropped. Default: Info. Thread-safe.
void set_level(Level level);
// True when a message of `level` would be written.
bool enabled(Level level);
// Writes one line, inert on a terminal whatever the message holds (shown() in base/text.h). Thread-safe; a progress bar
// on the terminal is cleared first and redrawn by its owner.
void write(Level level, std::string_view message);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Debug)) write(Level::Debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Info)) write(Level::Info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Warn)) write(Level::Warn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Error)) write(Level::Error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace retort::log
