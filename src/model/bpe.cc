#include "model/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

#include "base/text.h"
#include "model/unicode.h"

namespace retort::model {
namespace {

constexpr size_t kShortWord = 40;       // symbols up to which scanning beats a heap
constexpr size_t kLongCacheWord = 256;  // bytes; longer words are not cached
constexpr size_t kLongCacheEntries = 1 << 14;

// GPT-2's bytes_to_unicode: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and on.
bool stands_for_itself(int b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE; }

std::array<std::string, 256> make_alphabet() {
  std::array<std::string, 256> out;
  uint32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    append_utf8(out[static_cast<size_t>(b)], stands_for_itself(b) ? static_cast<uint32_t>(b) : next++);
  }
  return out;
}

// Character to byte for code points below 0x144, -1 for others.
std::array<int16_t, 0x144> make_reverse() {
  std::array<int16_t, 0x144> out;
  out.fill(-1);
  for (int b = 0; b < 256; ++b) {
    out[code_point_at(byte_alphabet()[static_cast<size_t>(b)], 0).value] = static_cast<int16_t>(b);
  }
  return out;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const std::array<std::string, 256> alphabet = make_alphabet();
  return alphabet;
}

std::string to_byte_level(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += byte_alphabet()[static_cast<uint8_t>(c)];
  return out;
}

std::string from_byte_level(std::string_view token) {
  static const std::array<int16_t, 0x144> reverse = make_reverse();
  std::string out;
  if (!is_utf8(token)) return std::string(token);
  for (size_t i = 0; i < token.size();) {
    const CodePoint c = code_point_at(token, i);
    if (c.value >= reverse.size() || reverse[c.value] < 0) return std::string(token);
    out += static_cast<char>(reverse[c.value]);
    i += c.length;
  }
  return out;
}

MergeTable::MergeTable(size_t expected) {
  const size_t size = std::bit_ceil(std::max<size_t>(16, expected * 2));
  slots_.resize(size);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = pack(left, right);
  size_t i = slot(key);
  while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & mask_;
  slots_[i] = {key, merge};
}

WordCache::WordCache() : slots_(kSlots) {}

bool WordCache::key_of(std::string_view word, uint64_t& low, uint64_t& high) {
  if (word.empty() || word.size() > kMaxWord) return false;
  uint64_t parts[2] = {0, 0};
  std::memcpy(parts, word.data(), word.size());
  low = parts[0];
  high = parts[1] | (static_cast<uint64_t>(word.size()) << 56);
  return true;
}

size_t WordCache::slot_of(uint64_t low, uint64_t high) {
  const unsigned __int128 p =
      static_cast<unsigned __int128>(low ^ 0x9E3779B97F4A7C15ull) * (high ^ 0xD6E8FEB86659FD93ull);
  return static_cast<size_t>(static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64)) & (kSlots - 1);
}

const int32_t* WordCache::get(std::string_view word, size_t& count) const {
  uint64_t low = 0, high = 0;
  if (!key_of(word, low, high)) {
    if (word.size() > kLongCacheWord) return nullptr;
    const auto it = long_.find(std::string(word));
    if (it == long_.end()) return nullptr;
    count = it->second.size();
    return it->second.data();
  }
  for (size_t i = slot_of(low, high); slots_[i].high != 0; i = (i + 1) & (kSlots - 1)) {
    const Slot& s = slots_[i];
    if (s.low == low && s.high == high) {
      count = s.count;
      return s.count <= 3 ? s.ids : spill_.data() + s.ids[0];
    }
  }
  return nullptr;
}

void WordCache::put(std::string_view word, const int32_t* ids, size_t count) {
  uint64_t low = 0, high = 0;
  if (!key_of(word, low, high)) {
    if (word.size() > kLongCacheWord) return;
    if (long_.size() >= kLongCacheEntries) long_.clear();
    long_.emplace(std::string(word), std::vector<int32_t>(ids, ids + count));
    return;
  }
  if (used_ >= kSlots / 2) {  // full: begin anew
    std::fill(slots_.begin(), slots_.end(), Slot{});
    spill_.clear();
    used_ = 0;
  }
  size_t i = slot_of(low, high);
  while (slots_[i].high != 0) i = (i + 1) & (kSlots - 1);
  Slot& s = slots_[i];
  s.low = low;
  s.high = high;
  s.count = static_cast<uint32_t>(count);
  if (count <= 3) {
    std::copy(ids, ids + count, s.ids);
  } else {
    s.ids[0] = static_cast<int32_t>(spill_.size());
    spill_.insert(spill_.end(), ids, ids + count);
  }
  ++used_;
}

void Bpe::encode(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const {
  size_t count = 0;
  if (const int32_t* known = cache.get(word, count)) {
    out.insert(out.end(), known, known + count);
    return;
  }
  const size_t begin = out.size();
  if (whole_words != nullptr) {
    const auto it = whole_words->find(to_byte_level(word));
    if (it != whole_words->end()) out.push_back(it->second);
  }
  if (out.size() == begin) merge(word, out);
  cache.put(word, out.data() + begin, out.size() - begin);
}

void Bpe::merge(std::string_view word, std::vector<int32_t>& out) const {
  std::vector<int32_t> symbols;
  symbols.reserve(word.size());
  bool after_unk = false;
  for (const char c : word) {
    const int32_t id = byte_ids[static_cast<uint8_t>(c)];
    if (id >= 0) {
      symbols.push_back(id);
    } else if (unk_id >= 0 && !(after_unk && fuse_unk)) {
      symbols.push_back(unk_id);
    }
    after_unk = id < 0;
  }
  if (symbols.size() <= kShortWord)
    merge_short(symbols);
  else
    merge_long(symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void Bpe::merge_short(std::vector<int32_t>& symbols) const {
  MergeTable::Merge pairs[kShortWord];
  size_t n = symbols.size();
  for (size_t i = 0; i + 1 < n; ++i) pairs[i] = merges.get(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == INT32_MAX) break;
    symbols[best] = pairs[best].id;
    --n;
    for (size_t i = best + 1; i < n; ++i) symbols[i] = symbols[i + 1];
    for (size_t i = best; i + 1 < n; ++i) pairs[i] = pairs[i + 1];
    if (best + 1 < n) pairs[best] = merges.get(symbols[best], symbols[best + 1]);
    if (best > 0) pairs[best - 1] = merges.get(symbols[best - 1], symbols[best]);
  }
  symbols.resize(n);
}

void Bpe::merge_long(std::vector<int32_t>& symbols) const {
  struct Candidate {
    int32_t rank;
    uint32_t at;
    int32_t left, right, id;
    bool operator>(const Candidate& o) const { return rank != o.rank ? rank > o.rank : at > o.at; }
  };
  constexpr uint32_t kNone = UINT32_MAX;
  const uint32_t n = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> next(n), previous(n);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto offer = [&](uint32_t at, uint32_t right) {
    const MergeTable::Merge m = merges.get(symbols[at], symbols[right]);
    if (m.rank != INT32_MAX) heap.push({m.rank, at, symbols[at], symbols[right], m.id});
  };
  for (uint32_t i = 0; i < n; ++i) {
    next[i] = i + 1 < n ? i + 1 : kNone;
    previous[i] = i > 0 ? i - 1 : kNone;
    if (i + 1 < n) offer(i, i + 1);
  }
  while (!heap.empty()) {
    const Candidate c = heap.top();
    heap.pop();
    if (symbols[c.at] != c.left) continue;
    const uint32_t right = next[c.at];
    if (right == kNone || symbols[right] != c.right) continue;
    symbols[c.at] = c.id;
    symbols[right] = -1;
    next[c.at] = next[right];
    if (next[right] != kNone) previous[next[right]] = c.at;
    if (previous[c.at] != kNone) offer(previous[c.at], c.at);
    if (next[c.at] != kNone) offer(c.at, next[c.at]);
  }
  std::erase(symbols, -1);
}

}  // namespace retort::model
