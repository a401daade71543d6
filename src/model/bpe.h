// Bpe: the merges of a byte-level vocabulary applied to one word. Words seen before come from a bounded cache; short
// words merge by scanning for the least rank, long ones with a heap, so that a word of n bytes costs O(n log n).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace retort::model {

// The byte-level alphabet: byte to the UTF-8 of its character (GPT-2's bytes_to_unicode).
const std::array<std::string, 256>& byte_alphabet();
std::string to_byte_level(std::string_view bytes);
// The bytes of a token in the alphabet; a token with any other character stands for its own UTF-8 bytes, as in Hugging
// Face's decoder.
std::string from_byte_level(std::string_view token);

// (left id, right id) to (rank, merged id); open addressing.
class MergeTable {
 public:
  struct Merge {
    int32_t rank, id;
  };
  explicit MergeTable(size_t expected);
  void set(int32_t left, int32_t right, Merge merge);  // the last one set for a pair counts
  // rank is INT32_MAX where the pair does not merge.
  Merge get(int32_t left, int32_t right) const {
    const uint64_t key = pack(left, right);
    for (size_t i = slot(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {INT32_MAX, -1};
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{INT32_MAX, -1};
  };
  static uint64_t pack(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15ull) >> shift_); }
  std::vector<Slot> slots_;
  size_t mask_ = 0;
  int shift_ = 0;
};

// Words to ids, for one encode() at a time.
class WordCache {
 public:
  WordCache();
  // nullptr where unknown. The pointer lives until the next put().
  const int32_t* get(std::string_view word, size_t& count) const;
  void put(std::string_view word, const int32_t* ids, size_t count);

 private:
  struct Slot {
    uint64_t low = 0, high = 0;  // up to 15 bytes and, on top, their number
    int32_t ids[3] = {0, 0, 0};  // with more than 3, ids[0] is the place in spill_
    uint32_t count = 0;
  };
  static constexpr size_t kSlots = size_t{1} << 16;
  static constexpr size_t kMaxWord = 15;
  static bool key_of(std::string_view word, uint64_t& low, uint64_t& high);
  static size_t slot_of(uint64_t low, uint64_t high);
  std::vector<Slot> slots_;
  std::vector<int32_t> spill_;
  size_t used_ = 0;
  std::unordered_map<std::string, std::vector<int32_t>> long_;
};

struct Bpe {
  std::array<int32_t, 256> byte_ids{};  // -1: no token
  MergeTable merges{0};
  int32_t unk_id = -1;
  bool fuse_unk = false;
  const std::unordered_map<std::string_view, int32_t>* whole_words = nullptr;  // set with ignore_merges; not owned

  // Appends the ids of one word. Thread-safe with a cache of one's own.
  void encode(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const;

 private:
  void merge(std::string_view word, std::vector<int32_t>& out) const;
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(std::vector<int32_t>& symbols) const;
};

}  // namespace retort::model
