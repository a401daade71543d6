// Counter-based randomness: Philox 4x32-10 (Salmon et al., SC'11). A draw is a pure function of (seed, stream, index),
// so results depend on neither thread count nor batch composition, and resuming needs only the index.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace retort {

// One Philox block: 128 random bits for a 128-bit counter under a 64-bit key.
constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = 0xD2511F53ull * counter[0], p1 = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

// A stream of draws: `seed` names the experiment, `stream` the use within it (a prompt, a layer). Cheap to copy.
class Random {
 public:
  explicit constexpr Random(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  constexpr uint64_t next() {
    const auto b = philox({static_cast<uint32_t>(index_), static_cast<uint32_t>(index_ >> 32),
                           static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                          seed_);
    ++index_;
    return (static_cast<uint64_t>(b[0]) << 32) | b[1];
  }
  // Uniform in [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // Uniform in [0, bound), bound > 0, without bias that could be seen (128-bit multiply, error below 2^-64 * bound).
  constexpr uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  // Uniform in [low, high], both included.
  constexpr int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }
  // Standard normal (Box-Muller; one draw a call).
  double normal();

  constexpr uint64_t index() const { return index_; }
  constexpr void seek(uint64_t index) { index_ = index; }

 private:
  uint64_t seed_, stream_, index_ = 0;
};

// Fisher-Yates over anything with size() and operator[].
template <class Sequence>
void shuffle(Sequence& items, Random& random) {
  for (size_t i = items.size(); i > 1; --i) {
    using std::swap;
    swap(items[i - 1], items[random.below(i)]);
  }
}

}  // namespace retort
