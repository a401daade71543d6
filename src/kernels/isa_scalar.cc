// The scalar reference: plain loops that say what each kernel means. Always built; slow on purpose (std::fma may be a
// library call). The vector versions must equal it bit by bit.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/isa_list.h"

namespace retort::kernels {
namespace {

#include "kernels/scalar-inl.h"

bool supported() { return true; }

void gemm(const float* a, ptrdiff_t lda, int m, int k, const Panels& b, int n, float* c, ptrdiff_t ldc,
          bool accumulate) {
  for (int row = 0; row < m; ++row) {
    for (int column = 0; column < n; ++column) {
      const float* w = b.data + column / kLanes * b.panel_stride + column % kLanes;
      float total = accumulate ? c[row * ldc + column] : 0.0f;
      for (int start = 0; start < k; start += kDepth) {
        float sum = 0;
        for (int i = start; i < std::min(k, start + kDepth); ++i)
          sum = std::fma(a[row * lda + i], w[i * b.row_stride], sum);
        total = start == 0 && !accumulate ? sum : total + sum;
      }
      c[row * ldc + column] = total;
    }
  }
}

void int8_gemm(const Int8Rows& x, int m, int blocks, const uint8_t* w, bool has_min, int n, float* c, ptrdiff_t ldc) {
  for (int row = 0; row < m; ++row) {
    for (int column = 0; column < n; ++column) {
      const uint8_t* panel = w + static_cast<ptrdiff_t>(column / kLanes) * blocks * kPanelBlockBytes;
      const int lane = column % kLanes;
      float total = 0;
      for (int block = 0; block < blocks; ++block, panel += kPanelBlockBytes) {
        uint16_t scale, minimum;
        std::memcpy(&scale, panel + lane * 2, 2);
        std::memcpy(&minimum, panel + kPanelScaleBytes + lane * 2, 2);
        const ptrdiff_t at = static_cast<ptrdiff_t>(row) * blocks + block;
        int32_t dot = 0;
        for (int i = 0; i < kBlock; ++i) {
          const auto weight = static_cast<int8_t>(panel[kLanes * 4 + i / 4 * kLanes * 4 + lane * 4 + i % 4]);
          dot += weight * x.q[at * kBlock + i];
        }
        total = std::fma(static_cast<float>(dot), half_to_float(scale) * x.scales[at], total);
        if (has_min) total = std::fma(half_to_float(minimum), x.scales[at] * static_cast<float>(x.sums[at]), total);
      }
      c[row * ldc + column] = total;
    }
  }
}

void quantise(const float* x, int blocks, int8_t* q, float* scales, int32_t* sums) {
  for (int block = 0; block < blocks; ++block) {
    float largest = 0;
    for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(x[block * kBlock + i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    scales[block] = largest / 127.0f;
    int32_t sum = 0;
    for (int i = 0; i < kBlock; ++i) {
      const float value = std::nearbyint(x[block * kBlock + i] * inverse);
      q[block * kBlock + i] = static_cast<int8_t>(value);
      sum += q[block * kBlock + i];
    }
    sums[block] = sum;
  }
}

void rms_norm(const float* x, const float* weight, int n, float eps, float* y) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i % kLanes] = std::fma(x[i], x[i], lanes[i % kLanes]);
  const float inverse = 1.0f / std::sqrt(sum_lanes(lanes) / static_cast<float>(n) + eps);
  for (int i = 0; i < n; ++i) y[i] = x[i] * inverse * weight[i];
}

void rope(float* x, const float* cosine, const float* sine, int half) {
  for (int i = 0; i < half; ++i) {
    const float first = x[i], second = x[i + half];
    x[i] = std::fma(-second, sine[i], first * cosine[i]);
    x[i + half] = std::fma(first, sine[i], second * cosine[i]);
  }
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
  for (int i = 0; i < n; ++i) out[i] = silu_mul_one(gate[i], up[i]);
}

void add(float* x, const float* y, int n) {
  for (int i = 0; i < n; ++i) x[i] += y[i];
}

void softmax(float* x, int n, float scale) {
  for (int i = 0; i < n; ++i) x[i] *= scale;
  const float largest = *std::max_element(x, x + n);
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) {
    x[i] = exp_one(x[i] - largest);
    lanes[i % kLanes] += x[i];
  }
  const float inverse = 1.0f / sum_lanes(lanes);
  for (int i = 0; i < n; ++i) x[i] *= inverse;
}

double log_sum_exp(const float* x, int n, float scale) {
  float largest = x[0] * scale;
  for (int i = 1; i < n; ++i) largest = std::max(largest, x[i] * scale);
  double total = 0;
  for (int start = 0; start < n; start += kSumChunk) {
    float lanes[kLanes] = {};
    for (int i = start; i < std::min(n, start + kSumChunk); ++i) lanes[i % kLanes] += exp_one(x[i] * scale - largest);
    total += static_cast<double>(sum_lanes(lanes));
  }
  return static_cast<double>(largest) + std::log(total);
}

void unpack_f16(const uint16_t* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = half_to_float(x[i]);
}

void unpack_bf16(const uint16_t* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = float_of_bits(static_cast<uint32_t>(x[i]) << 16);
}

}  // namespace

const Isa& scalar_isa() {
  static const Isa table = {"scalar", supported, gemm,    int8_gemm,   quantise,   rms_norm,   rope,
                            silu_mul, add,       softmax, log_sum_exp, unpack_f16, unpack_bf16};
  return table;
}

}  // namespace retort::kernels
