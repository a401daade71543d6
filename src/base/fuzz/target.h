// What a fuzz target is made of. Each <noun>_fuzz.cc beside a parser of outside bytes defines LLVMFuzzerTestOneInput
// and fuzz::seeds(), states with RETORT_CHECK what must hold for every input, and becomes a program of its own: under
// libFuzzer for long searches (`./dev test --all`), with fuzz/main.cc as a quick test everywhere else.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/result.h"

// Runs the parser on one input; returns 0. A broken property ends the process.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace retort::fuzz {

// Inputs to start from: sound ones of every form, small. Defined by each target.
std::vector<std::string> seeds();

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// What every refusal of outside bytes owes: a message, and never the code that stands for a defect of retort's own.
inline void check_refusal(const Error& error) {
  RETORT_CHECK(!error.message.empty());
  RETORT_CHECK(error.code != Code::Internal);
}

// Takes the first byte off `input` as a choice among `count`; 0 where there is none.
inline size_t take_choice(std::string_view& input, size_t count) {
  if (input.empty()) return 0;
  const auto byte = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  return byte % count;
}

// Takes what stands before the first `separator` off `input`, and the separator; everything where there is none.
inline std::string_view take_until(std::string_view& input, char separator) {
  const std::string_view head = input.substr(0, input.find(separator));
  input.remove_prefix(std::min(input.size(), head.size() + 1));
  return head;
}

// `text` cut into pieces, some of them empty, at places that its own bytes decide: a stream as it may arrive.
inline std::vector<std::string_view> cut(std::string_view text) {
  Random random(fnv1a(text));
  const uint64_t longest = 1 + random.below(16);
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    pieces.push_back(text.substr(0, random.below(longest + 1)));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

// A folder of this process, removed at its end: for parsers that read files.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("retort-fuzz-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  // Writes the file `name`, which may hold folders, and returns its path.
  std::string put(const std::string& name, std::string_view bytes) const {
    const std::string path = (path_ / name).string();
    if (name.find('/') != std::string::npos) std::filesystem::create_directories((path_ / name).parent_path());
    std::filesystem::remove(path);  // some file systems wait for the disk where a file is cut and written again
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace retort::fuzz
