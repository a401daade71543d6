// Isa: one compiled version of every kernel, and the choice among them. All versions give the same bits; they differ in
// speed only. The best that the CPU has is used unless RETORT_ISA or force_isa() names another.
// These functions are single-threaded; matrix.h and attention.h spread them over a TaskPool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/layout.h"

namespace retort::kernels {

// The right-hand side of gemm(): k rows of `panels` panels of kLanes columns. Element (row i, column 16 p + j) is
// data[p * panel_stride + i * row_stride + j].
struct Panels {
  const float* data = nullptr;
  ptrdiff_t row_stride = kLanes;
  ptrdiff_t panel_stride = 0;
};

// Rows of activations in int8: x ~ scale * q per block of kBlock; `sums` are the blocks' sums of q.
struct Int8Rows {
  const int8_t* q = nullptr;      // [m][k]
  const float* scales = nullptr;  // [m][k / kBlock]
  const int32_t* sums = nullptr;  // [m][k / kBlock]
};

struct Isa {
  const char* name;
  bool (*supported)();  // by this CPU and operating system

  // c[m][n] (+)= a[m][k] * b[k][n], fp32. Each output is the sum over blocks of kDepth of fused products in order of k;
  // so its bits depend on neither m nor n nor on the other rows. `accumulate` adds to c, else c is overwritten.
  void (*gemm)(const float* a, ptrdiff_t lda, int m, int k, const Panels& b, int n, float* c, ptrdiff_t ldc,
               bool accumulate);
  // c[m][n] = x * w^T with w in int8 panels (layout in matrix.h), `blocks` = k / kBlock. For each block in order:
  // c += float(integer dot) * (weight scale * row scale), fused; and where has_min c += minimum * (row scale * sum).
  void (*int8_gemm)(const Int8Rows& x, int m, int blocks, const uint8_t* w, bool has_min, int n, float* c,
                    ptrdiff_t ldc);
  // One row of k = blocks * kBlock values to int8: scale = max|x| / 127, ties to even.
  void (*quantise)(const float* x, int blocks, int8_t* q, float* scales, int32_t* sums);
  // y = x / sqrt(mean(x^2) + eps) * weight; y may be x.
  void (*rms_norm)(const float* x, const float* weight, int n, float eps, float* y);
  // Half-split RoPE of one head in place: (x[i], x[i + half]) turned by the angle whose cosine and sine are given.
  void (*rope)(float* x, const float* cosine, const float* sine, int half);
  // out = gate / (1 + exp(-gate)) * up; out may be gate.
  void (*silu_mul)(const float* gate, const float* up, int n, float* out);
  void (*add)(float* x, const float* y, int n);  // x += y
  // x = softmax(x * scale) in place, n > 0.
  void (*softmax)(float* x, int n, float scale);
  // log(sum(exp(x * scale))), n > 0; the maximum is taken out first, totals are double.
  double (*log_sum_exp)(const float* x, int n, float scale);
  // To fp32, exact.
  void (*unpack_f16)(const uint16_t* x, int64_t n, float* out);
  void (*unpack_bf16)(const uint16_t* x, int64_t n, float* out);
};

// Every version in this build, the scalar reference first, then rising.
const std::vector<const Isa*>& compiled_isas();
// The version in use. The first call chooses; an unusable RETORT_ISA falls back to the best (isa_status() says so).
const Isa& isa();
// Invalid where RETORT_ISA names a version that is not in this build or that the CPU lacks; lists what there is.
Status isa_status();
// Uses the named version from now on ("": the best). Invalid as above. Not while kernels run.
Status force_isa(std::string_view name);

}  // namespace retort::kernels
