// NEON with the dot-product extension: Arm cores since 2017 (Cortex-A75, Neoverse N1, Apple A11). Only the integer dot
// is written in intrinsics; the rest is generic-inl.h compiled for this target. The instruction set is raised by a
// pragma around this file's own functions, so none of it can leak into code that other CPUs run.
#if defined(__aarch64__)
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include <arm_neon.h>
#include <sys/auxv.h>

#include <hwy/detect_targets.h>
#undef HWY_TARGET
#define HWY_TARGET HWY_NEON
#include <hwy/highway.h>

#include "kernels/isa_list.h"

HWY_BEFORE_NAMESPACE();
HWY_PUSH_ATTRIBUTES("arch=armv8.2-a+crypto+dotprod")
namespace retort::kernels {
namespace {

#include "kernels/lanes-inl.h"
#include "kernels/scalar-inl.h"

constexpr int kTileTokens = 4;

// One group: each 32-bit lane of the weights holds a row's four, each lane of a token the four activations they meet.
template <int kGroup, int T>
HWY_INLINE void group_dots(const int8_t* w, const int8x16_t (&x)[T], VI (&dots)[T][kVectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const int8x16_t rows = vld1q_s8(w + kGroup * 64 + v * 16);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) dots[t][v].raw = vdotq_laneq_s32(dots[t][v].raw, rows, x[t], kGroup);
  }
}

template <int T>
HWY_INLINE void block_dots(const int8_t* w, const int8_t* const (&x)[T], const int32_t (&)[T],
                           VI (&dots)[T][kVectors]) {
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) dots[t][v].raw = vdupq_n_s32(0);
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half, w += 4 * 64) {
    int8x16_t tokens[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) tokens[t] = vld1q_s8(x[t] + half * 16);
    group_dots<0>(w, tokens, dots);
    group_dots<1>(w, tokens, dots);
    group_dots<2>(w, tokens, dots);
    group_dots<3>(w, tokens, dots);
  }
}

#include "kernels/generic-inl.h"

bool supported() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

}  // namespace

const Isa& dotprod_isa() {
  static const Isa table = {"dotprod", supported, gemm,    int8_gemm,   quantise,   rms_norm,   rope,
                            silu_mul,  add,       softmax, log_sum_exp, unpack_f16, unpack_bf16};
  return table;
}

}  // namespace retort::kernels
HWY_POP_ATTRIBUTES
HWY_AFTER_NAMESPACE();
#endif
