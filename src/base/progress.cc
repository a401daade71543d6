#include "base/progress.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"

namespace retort {
namespace {

using Clock = std::chrono::steady_clock;
std::atomic<bool> g_silent{false};
constexpr double kTerminalEverySeconds = 0.1;
constexpr double kPlainEverySeconds = 10;

int terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace

struct Progress::State {
  std::mutex mutex;
  std::string label, unit, note;
  int64_t total = 0, done = 0, first_done = -1;
  Clock::time_point start = Clock::now(), shown{};
  bool terminal = ::isatty(STDERR_FILENO) == 1, finished = false;

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start).count(); }

  std::string line(bool final) const {
    const double elapsed = seconds();
    // Work that was already done when the bar appeared (a resumed run) does not count towards the rate.
    const double rate = elapsed > 0 ? static_cast<double>(done - std::max<int64_t>(first_done, 0)) / elapsed : 0;
    std::string text = label;
    if (total > 0) {
      const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
      if (terminal) {
        constexpr int kCells = 24;
        const int full = static_cast<int>(share * kCells);
        text += " [";
        for (int i = 0; i < kCells; ++i) text += i < full ? "=" : (i == full ? ">" : " ");
        text += "]";
      }
      text += fmt::format(" {:3.0f}% {}/{} {}", 100 * share, done, total, unit);
    } else {
      text += fmt::format(" {} {}", done, unit);
    }
    if (rate > 0) text += fmt::format(", {}/s", format_count(rate));
    if (final)
      text += fmt::format(", {}", format_duration(elapsed));
    else if (total > 0 && rate > 0 && done > 0)
      text += fmt::format(", {} left", format_duration(static_cast<double>(total - done) / rate));
    if (!note.empty()) text += ", " + note;
    return text;
  }

  void show(bool final) {
    if (g_silent.load()) return;
    std::string text = retort::shown(line(final));
    if (terminal) {
      const size_t width = static_cast<size_t>(terminal_width()) - 1;
      if (text.size() > width) text.resize(utf8_complete_prefix(text.substr(0, width)));
      fmt::print(stderr, "\r\x1b[K{}{}", text, final ? "\n" : "");
    } else {
      fmt::print(stderr, "{}\n", text);
    }
    std::fflush(stderr);
    shown = Clock::now();
  }
};

Progress::Progress(std::string label, int64_t total, std::string unit) : state_(std::make_unique<State>()) {
  state_->label = std::move(label);
  state_->total = total;
  state_->unit = std::move(unit);
  state_->shown = state_->start;
}

Progress::~Progress() { finish(); }

void Progress::update(int64_t done, std::string_view note) {
  const std::lock_guard lock(state_->mutex);
  if (state_->first_done < 0) state_->first_done = done > 1 ? done : 0;
  state_->done = done;
  state_->note = note;
  const double since = std::chrono::duration<double>(Clock::now() - state_->shown).count();
  if (since >= (state_->terminal ? kTerminalEverySeconds : kPlainEverySeconds)) state_->show(false);
}

void Progress::finish(std::string_view note) {
  const std::lock_guard lock(state_->mutex);
  if (state_->finished) return;
  state_->finished = true;
  if (!note.empty()) state_->note = note;
  state_->show(true);
}

void Progress::silence(bool quiet) { g_silent.store(quiet); }

std::string format_duration(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f}s", seconds);
  const int64_t s = std::llround(seconds);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m {:02}s", s / 60, s % 60);
  return fmt::format("{}h {:02}m", s / 3600, s / 60 % 60);
}

std::string format_count(double value) {
  const double magnitude = std::fabs(value);
  const auto three = [](double v) {
    return v >= 100 ? fmt::format("{:.0f}", v) : v >= 10 ? fmt::format("{:.1f}", v) : fmt::format("{:.2f}", v);
  };
  if (magnitude >= 1e12) return three(value / 1e12) + "T";
  if (magnitude >= 1e9) return three(value / 1e9) + "G";
  if (magnitude >= 1e6) return three(value / 1e6) + "M";
  if (magnitude >= 1e3) return three(value / 1e3) + "k";
  return three(value);
}

}  // namespace retort
