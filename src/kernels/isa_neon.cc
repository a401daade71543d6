// NEON as every 64-bit Arm core has it; no extension is needed (Highway's own check would demand AES, which nothing
// here uses). Only the integer dot is written in intrinsics; the rest is generic-inl.h compiled for this target.
#if defined(__aarch64__)
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include <arm_neon.h>

#include <hwy/detect_targets.h>
#undef HWY_TARGET
#define HWY_TARGET HWY_NEON
#include <hwy/highway.h>

#include "kernels/isa_list.h"

HWY_BEFORE_NAMESPACE();
namespace retort::kernels {
namespace {

#include "kernels/lanes-inl.h"
#include "kernels/scalar-inl.h"

constexpr int kTileTokens = 4;

HWY_INLINE int8x16_t broadcast4(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

// A 16-bit lane takes one product from each of two groups: at most 2 * 128 * 127 < 2^15. vpadal adds neighbouring lanes
// to 32 bits, so a register of sums holds two rows as two lanes each; the last vpadd makes four rows of two registers.
// Eight rows at a time: four tokens' sums of them are 16 of the 32 registers. (Unrolled over the groups, g++ 12 loads
// all of a block ahead and spills.)
template <int T>
HWY_INLINE void block_dots(const int8_t* w, const int8_t* const (&x)[T], const int32_t (&)[T],
                           VI (&dots)[T][kVectors]) {
#pragma GCC unroll 2
  for (int half = 0; half < kVectors; half += 2) {
    int32x4_t sums[T][4];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) sums[t][0] = sums[t][1] = sums[t][2] = sums[t][3] = vdupq_n_s32(0);
#pragma GCC unroll 1
    for (int group = 0; group < kBlock / 4; group += 2) {
      const int8_t* rows = w + group * 64 + half * 16;
      const int8x16_t w00 = vld1q_s8(rows), w01 = vld1q_s8(rows + 64);
      const int8x16_t w10 = vld1q_s8(rows + 16), w11 = vld1q_s8(rows + 80);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const int8x16_t x0 = broadcast4(x[t] + group * 4), x1 = broadcast4(x[t] + group * 4 + 4);
        const int8x8_t low0 = vget_low_s8(x0), low1 = vget_low_s8(x1);
        sums[t][0] = vpadalq_s16(sums[t][0], vmlal_s8(vmull_s8(vget_low_s8(w00), low0), vget_low_s8(w01), low1));
        sums[t][1] = vpadalq_s16(sums[t][1], vmlal_high_s8(vmull_high_s8(w00, x0), w01, x1));
        sums[t][2] = vpadalq_s16(sums[t][2], vmlal_s8(vmull_s8(vget_low_s8(w10), low0), vget_low_s8(w11), low1));
        sums[t][3] = vpadalq_s16(sums[t][3], vmlal_high_s8(vmull_high_s8(w10, x0), w11, x1));
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      dots[t][half].raw = vpaddq_s32(sums[t][0], sums[t][1]);
      dots[t][half + 1].raw = vpaddq_s32(sums[t][2], sums[t][3]);
    }
  }
}

#include "kernels/generic-inl.h"

bool supported() { return true; }

}  // namespace

const Isa& neon_isa() {
  static const Isa table = {"neon",   supported, gemm,    int8_gemm,   quantise,   rms_norm,   rope,
                            silu_mul, add,       softmax, log_sum_exp, unpack_f16, unpack_bf16};
  return table;
}

}  // namespace retort::kernels
HWY_AFTER_NAMESPACE();
#endif
