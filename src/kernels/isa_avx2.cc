// AVX2, FMA, F16C: every x86 core since 2013 (Intel) and 2015 (AMD). Only the integer dot is written in intrinsics; the
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
#define HWY_TARGET HWY_AVX2
#include <hwy/highway.h>

#include "kernels/isa_list.h"

HWY_BEFORE_NAMESPACE();
namespace retort::kernels {
namespace {

#include "kernels/lanes-inl.h"
#include "kernels/scalar-inl.h"

constexpr int kTileTokens = 4;

inline __m256i broadcast4(const int8_t* p) {
  int32_t bytes;
  std::memcpy(&bytes, p, 4);
  return _mm256_set1_epi32(bytes);
}

// maddubs wants one unsigned operand: |w| * (x with w's sign) = w * x. Pairs sum to at most 2 * 128 * 127 < 2^15.
template <int T>
HWY_INLINE void block_dots(const int8_t* w, const int8_t* const (&x)[T], const int32_t (&)[T],
                           VI (&dots)[T][kVectors]) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[T][2];
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int group = 0; group < kBlock / 4; ++group) {
    const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + group * 64));
    const __m256i w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + group * 64 + 32));
    const __m256i a0 = _mm256_abs_epi8(w0), a1 = _mm256_abs_epi8(w1);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      const __m256i token = broadcast4(x[t] + group * 4);
      const __m256i p0 = _mm256_maddubs_epi16(a0, _mm256_sign_epi8(token, w0));
      const __m256i p1 = _mm256_maddubs_epi16(a1, _mm256_sign_epi8(token, w1));
      sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(p0, ones));
      sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(p1, ones));
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
    dots[t][0].raw = sums[t][0];
    dots[t][1].raw = sums[t][1];
  }
}

#include "kernels/generic-inl.h"

bool supported() { return (hwy::SupportedTargets() & HWY_AVX2) != 0; }

}  // namespace

const Isa& avx2_isa() {
  static const Isa table = {"avx2",   supported, gemm,    int8_gemm,   quantise,   rms_norm,   rope,
                            silu_mul, add,       softmax, log_sum_exp, unpack_f16, unpack_bf16};
  return table;
}

}  // namespace retort::kernels
HWY_AFTER_NAMESPACE();
#endif
