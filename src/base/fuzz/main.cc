// The quick form of a fuzz target: runs it on its seeds and on a fixed number of seeded mutations of them, the same on
// every machine. It finds what broke, not what is new: that is libFuzzer's work.
//   <target>                 the test
//   <target> FILE...         runs these inputs, as saved by a crash here or under libFuzzer
//   <target> --seeds FOLDER  writes the seeds as files, for libFuzzer to start from
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iterator>

#include <fcntl.h>

#include "base/fuzz/target.h"

// Called by AddressSanitizer and its kin, where they are linked in, before they end the process.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace retort::fuzz {
namespace {

constexpr int kRuns = 4000;
constexpr size_t kMostBytes = 64 << 10;  // of a mutated input; a seed that is longer stays as it is
constexpr unsigned kHangSeconds = 60;    // for one input; they take micro- to milliseconds

// What is being run, for the crash handler.
std::string current;
std::string crash_path;

void save_current() {
  const int fd = ::open(crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return;
  const bool whole = ::write(fd, current.data(), current.size()) == static_cast<ssize_t>(current.size());
  ::close(fd);
  const char* text = whole ? "the input that did it is saved as " : "the input that did it could not be saved as ";
  for (const char* part : {text, crash_path.c_str(), "; run the target on that file to see it again\n"})
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) return;
}

void on_signal(int number) {
  save_current();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

// Values at the borders of what lengths and counts can be.
constexpr uint64_t kBorders[] = {0,
                                 1,
                                 2,
                                 0x7F,
                                 0x80,
                                 0xFF,
                                 0x100,
                                 0x7FFF,
                                 0xFFFF,
                                 0x7FFFFFFF,
                                 0xFFFFFFFF,
                                 0x100000000,
                                 0x7FFFFFFFFFFFFFFF,
                                 0x8000000000000000,
                                 0xFFFFFFFFFFFFFFFF};
// Texts that parsers of text mind.
constexpr std::string_view kTexts[] = {"\"",
                                       "\\",
                                       "{",
                                       "}",
                                       "[",
                                       "]",
                                       "{}",
                                       "[]",
                                       "null",
                                       "true",
                                       ":",
                                       ",",
                                       "\n",
                                       "\r\n",
                                       "\n\n",
                                       " ",
                                       "\t",
                                       "-",
                                       "0",
                                       "-1",
                                       "1e999",
                                       "9223372036854775808",
                                       "18446744073709551616",
                                       "0.1",
                                       "nan",
                                       "\\u0000",
                                       "\\ud800",
                                       "\xC3\xA9",
                                       "\xF0\x9F\x98\x80",
                                       "\xFF",
                                       "\xEF\xBB\xBF",
                                       "${",
                                       "{{",
                                       "}}",
                                       "{%",
                                       "%}",
                                       "&a",
                                       "*a",
                                       "#",
                                       "<think>",
                                       "</think>"};

std::string mutated(const std::vector<std::string>& seeds, Random& random) {
  std::string text = seeds[random.below(seeds.size())];
  const auto place = [&](size_t beyond) { return static_cast<size_t>(random.below(text.size() + beyond)); };
  const auto length = [&] { return static_cast<size_t>(1 + random.below(random.below(4) == 0 ? 64 : 4)); };
  for (uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
    const uint64_t kind = text.empty() ? 3 + random.below(2) : random.below(9);
    switch (kind) {
      case 0: text[place(0)] = static_cast<char>(random.next()); break;
      case 1: text[place(0)] ^= static_cast<char>(1 << random.below(8)); break;
      case 2: text.erase(place(0), length()); break;
      case 3: text.insert(place(1), kTexts[random.below(std::size(kTexts))]); break;
      case 4: text.insert(place(1), length(), static_cast<char>(random.next())); break;
      case 5: {  // a piece again, elsewhere
        const std::string piece = text.substr(place(0), length());
        text.insert(place(1), piece);
        break;
      }
      case 6: {  // a little-endian number at a border
        const uint64_t value = kBorders[random.below(std::size(kBorders))] - random.below(2);
        const size_t at = place(0), bytes = std::min(size_t{1} << random.below(4), text.size() - at);
        std::memcpy(text.data() + at, &value, bytes);
        break;
      }
      case 7: {  // the start of this one, the end of another
        const std::string& other = seeds[random.below(seeds.size())];
        text = text.substr(0, place(1)) + other.substr(random.below(other.size() + 1));
        break;
      }
      default: text.resize(place(1)); break;
    }
  }
  if (text.size() > kMostBytes) text.resize(kMostBytes);
  return text;
}

void run(std::string input) {
  current = std::move(input);
  ::alarm(kHangSeconds);
  // A copy of exactly its size on the heap: reading past its end is seen by AddressSanitizer.
  const std::vector<uint8_t> bytes(current.begin(), current.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  ::alarm(0);
}

int test(const char* program) {
  crash_path = "crash-" + std::filesystem::path(program).filename().string();
  const std::vector<std::string> from = seeds();
  RETORT_CHECK(!from.empty());
  run("");
  for (const std::string& seed : from) run(seed);
  Random random(fnv1a(crash_path));
  for (int i = 0; i < kRuns; ++i) run(mutated(from, random));
  std::printf("%d inputs from %zu seeds\n", kRuns, from.size());
  return 0;
}

int main(int count, char** arguments) {
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) std::signal(number, on_signal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save_current);
  if (count == 1) return test(arguments[0]);
  if (count == 3 && std::string_view(arguments[1]) == "--seeds") {
    std::filesystem::create_directories(arguments[2]);
    int number = 0;
    for (const std::string& seed : seeds())
      std::ofstream(std::filesystem::path(arguments[2]) / ("seed-" + std::to_string(number++)), std::ios::binary)
          << seed;
    return 0;
  }
  for (int i = 1; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", arguments[i]);
      return 1;
    }
    crash_path = arguments[i] + std::string(".again");
    run({std::istreambuf_iterator<char>(file), {}});
  }
  return 0;
}

}  // namespace
}  // namespace retort::fuzz

int main(int count, char** arguments) { return retort::fuzz::main(count, arguments); }
