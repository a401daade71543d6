// AVX-512 as of Ice Lake and Zen 4, with VNNI for the integer dots. Only the integer dot is written in intrinsics; the
// rest is generic-inl.h compiled for this target. The instruction set is raised by a pragma around this file's own
// functions, so none of it can leak into code that other CPUs run.
#if defined(__x86_64__)
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include <immintrin.h>

#include <hwy/detect_targets.h>
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX3
#include <hwy/highway.h>

#include "kernels/isa_list.h"

HWY_BEFORE_NAMESPACE();
namespace retort::kernels {
namespace {

#include "kernels/lanes-inl.h"
#include "kernels/scalar-inl.h"

constexpr int kTileTokens = 8;

// vpdpbusd wants unsigned * signed: (w + 128) * x summed, less 128 * sum(x), which the accumulator starts with. The
// group's four weights of a row are added in the register, so no horizontal sum is needed. (In assembly because
// Highway's AVX3 is compiled without VNNI and its AVX3_DL with AVX-VNNI, which Ice Lake lacks.)
template <int T>
HWY_INLINE void block_dots(const int8_t* w, const int8_t* const (&x)[T], const int32_t (&sums)[T],
                           VI (&dots)[T][kVectors]) {
  const __m512i bias = _mm512_set1_epi8(-128);
  __m512i totals[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) totals[t] = _mm512_set1_epi32(-128 * sums[t]);
#pragma GCC unroll 8
  for (int group = 0; group < kBlock / 4; ++group) {
    const __m512i weights = _mm512_xor_si512(_mm512_loadu_si512(w + group * 64), bias);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      int32_t bytes;
      std::memcpy(&bytes, x[t] + group * 4, 4);
      const __m512i token = _mm512_set1_epi32(bytes);
      asm("vpdpbusd %2, %1, %0" : "+v"(totals[t]) : "v"(weights), "v"(token));
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) dots[t][0].raw = totals[t];
}

#include "kernels/generic-inl.h"

bool supported() { return (hwy::SupportedTargets() & HWY_AVX3) != 0 && __builtin_cpu_supports("avx512vnni") != 0; }

}  // namespace

const Isa& avx512_isa() {
  static const Isa table = {"avx512", supported, gemm,    int8_gemm,   quantise,   rms_norm,   rope,
                            silu_mul, add,       softmax, log_sum_exp, unpack_f16, unpack_bf16};
  return table;
}

}  // namespace retort::kernels
HWY_AFTER_NAMESPACE();
#endif
