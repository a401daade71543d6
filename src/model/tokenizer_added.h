// AddedMatcher: finds added tokens in text, leftmost and longest first, with their single_word, lstrip and rstrip
// rules, as Hugging Face's AddedVocabulary does.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace retort::model {

class AddedMatcher {
 public:
  // The later of two equal texts counts.
  void add(const std::string& text, const AddedToken& flags, int32_t id);
  // Calls `emit` with the pieces of `text` in order: id -1 for what lies between tokens (never empty).
  void split(std::string_view text, const std::function<void(std::string_view piece, int32_t id)>& emit) const;

 private:
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;
    int32_t entry = -1;
  };
  struct Entry {
    int32_t id;
    bool single_word, lstrip, rstrip;
  };
  // Length and entry of the longest token at `i`; 0 where there is none.
  size_t match(std::string_view text, size_t i, int32_t& entry) const;
  std::vector<Node> nodes_{1};
  std::vector<Entry> entries_;
  bool first_[256] = {};
};

}  // namespace retort::model
