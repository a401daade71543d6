#include "curate/loop.h"

#include <algorithm>
#include <deque>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"

namespace retort::curate {
namespace {

constexpr size_t kWindow = 16'384;  // the ending that is looked at
constexpr size_t kWords = 8;
constexpr size_t kLeastWords = 100;

}  // namespace

std::string find_loop(std::string_view text, const LoopLimits& limits) {
  std::string_view tail = trim(text);
  if (tail.size() > kWindow) tail.remove_prefix(tail.size() - kWindow);
  // Z function of the reversed ending: z[p] bytes before the last p equal the last ones, so the period p covers
  // z[p] + p bytes. A loop is usually cut inside a repetition; a period need not be whole at either end.
  const size_t n = tail.size();
  const auto at = [&](size_t i) { return tail[n - 1 - i]; };
  std::vector<size_t> z(n);
  for (size_t i = 1, left = 0, right = 0; i < n; ++i) {
    if (i < right) z[i] = std::min(right - i, z[i - left]);
    while (i + z[i] < n && at(z[i]) == at(i + z[i])) ++z[i];
    if (i + z[i] > right) left = i, right = i + z[i];
  }
  for (size_t period = 1; period < n; ++period) {
    const size_t covered = z[period] + period, times = covered / period;
    if (times < static_cast<size_t>(limits.repeats) || covered < static_cast<size_t>(limits.bytes)) continue;
    // A rule of dashes or a run of zeros at the end is layout or a number, not a loop, unless it is really long.
    if (period == 1 && covered < 4 * static_cast<size_t>(limits.bytes)) continue;
    return fmt::format("ends with the same {} bytes {} times", period, times);
  }

  std::deque<uint64_t> last;
  std::unordered_set<uint64_t> seen;
  size_t words = 0, grams = 0, again = 0;
  for (size_t i = 0; i < text.size();) {
    while (i < text.size() && std::string_view(" \t\r\n").find(text[i]) != std::string_view::npos) ++i;
    const size_t start = i;
    while (i < text.size() && std::string_view(" \t\r\n").find(text[i]) == std::string_view::npos) ++i;
    if (i == start) break;
    ++words;
    last.push_back(fnv1a(text.substr(start, i - start)));
    if (last.size() > kWords) last.pop_front();
    if (last.size() < kWords) continue;
    uint64_t hash = 0;
    for (const uint64_t word : last) hash = (hash ^ word) * 0x9E3779B97F4A7C15ull + 1;
    ++grams;
    again += seen.insert(hash).second ? 0 : 1;
  }
  if (words >= kLeastWords && static_cast<double>(again) >= limits.share * static_cast<double>(grams))
    return fmt::format("{} % of its {}-grams repeat", 100 * again / grams, kWords);
  return "";
}

}  // namespace retort::curate
