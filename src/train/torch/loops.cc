#include "train/torch/loops.h"

#include <bit>
#include <cmath>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define RETORT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define RETORT_CLONES
#endif
#define RETORT_INLINE static inline __attribute__((always_inline))

namespace retort::train::loops {
namespace {

// exp by 2^k * e^r, |r| <= ln2/2, r's series to degree 6 (relative error below 3e-7); 0 below -87.3, no infinities.
RETORT_INLINE float exp_approx(float x) {
  const float clamped = x < -87.3f ? -87.3f : (x > 88.3f ? 88.3f : x);
  const float shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to a whole number in the low bits
  const float k = shifted - 12582912.0f;
  const float r = (clamped - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;  // Cephes expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const float scaled = p * std::bit_cast<float>((static_cast<int32_t>(k) + 127) << 23);
  return x < -87.3f ? 0.0f : scaled;
}

RETORT_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exp_approx(-x)); }

RETORT_INLINE float largest(const float* x, int64_t count) {
  float m = x[0];
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < count; ++i) m = m < x[i] ? x[i] : m;
  return m;
}

}  // namespace

RETORT_CLONES void rms_norm(const float* x, const float* w, float* y, float* inverse, int64_t begin, int64_t end,
                            int64_t cols, float eps) {
  for (int64_t row = begin; row < end; ++row) {
    const float* xr = x + row * cols;
    float* yr = y + row * cols;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < cols; ++i) sum += xr[i] * xr[i];
    const float inv = 1.0f / std::sqrt(sum / static_cast<float>(cols) + eps);
    inverse[row] = inv;
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) yr[i] = xr[i] * inv * w[i];
  }
}

RETORT_CLONES void rms_norm_backward(const float* dy, const float* x, const float* w, const float* inverse, float* dx,
                                     float* dw, int64_t begin, int64_t end, int64_t cols) {
  for (int64_t row = begin; row < end; ++row) {
    const float *xr = x + row * cols, *gr = dy + row * cols;
    float* out = dx + row * cols;
    const float inv = inverse[row];
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < cols; ++i) sum += gr[i] * w[i] * xr[i];
    const float mean = sum * inv * inv * inv / static_cast<float>(cols);
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) out[i] = gr[i] * w[i] * inv - xr[i] * mean;
    if (dw == nullptr) continue;
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) dw[i] += gr[i] * xr[i] * inv;
  }
}

RETORT_CLONES void swiglu(const float* gu, float* y, int64_t begin, int64_t end, int64_t cols) {
  for (int64_t row = begin; row < end; ++row) {
    const float *gate = gu + row * 2 * cols, *up = gate + cols;
    float* yr = y + row * cols;
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) yr[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
}

RETORT_CLONES void swiglu_backward(const float* dy, const float* gu, float* dgu, int64_t begin, int64_t end,
                                   int64_t cols) {
  for (int64_t row = begin; row < end; ++row) {
    const float *gate = gu + row * 2 * cols, *up = gate + cols, *g = dy + row * cols;
    float *dgate = dgu + row * 2 * cols, *dup = dgate + cols;
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) {
      const float s = sigmoid(gate[i]);
      const float silu = gate[i] * s;
      dup[i] = g[i] * silu;
      dgate[i] = g[i] * up[i] * (s + silu * (1.0f - s));
    }
  }
}

RETORT_CLONES void rope(const float* x, float* y, const float* cosine, const float* sine, int64_t heads, int64_t dim,
                        float sign) {
  const int64_t half = dim / 2;
  for (int64_t h = 0; h < heads; ++h) {
    const float *a = x + h * dim, *b = a + half;
    float *ya = y + h * dim, *yb = ya + half;
#pragma omp simd
    for (int64_t i = 0; i < half; ++i) {
      const float s = sign * sine[i], p = a[i], q = b[i];
      ya[i] = p * cosine[i] - q * s;
      yb[i] = q * cosine[i] + p * s;
    }
  }
}

RETORT_CLONES float softmax(float* x, int64_t count, int64_t width, float scale) {
  const float m = largest(x, count) * scale;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    x[i] = exp_approx(x[i] * scale - m);
    sum += x[i];
  }
  const float inv = 1.0f / sum;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] *= inv;
  for (int64_t i = count; i < width; ++i) x[i] = 0;
  return m + std::log(sum);
}

RETORT_CLONES void exp_minus(float* x, int64_t count, int64_t width, float scale, float lse) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] = exp_approx(x[i] * scale - lse);
  for (int64_t i = count; i < width; ++i) x[i] = 0;
}

RETORT_CLONES void softmax_backward(const float* p, float* dp, int64_t width, float delta, float scale) {
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) dp[i] = p[i] * (dp[i] - delta) * scale;
}

RETORT_CLONES float dot(const float* a, const float* b, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

RETORT_CLONES float cross_entropy(float* x, int64_t count, int64_t target, float scale) {
  const float at_target = x[target], m = largest(x, count);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    x[i] = exp_approx(x[i] - m);
    sum += x[i];
  }
  const float k = scale / sum;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] *= k;
  x[target] -= scale;
  return std::log(sum) + m - at_target;
}

RETORT_CLONES void adamw(float* w, float* g, float* m, float* v, int64_t begin, int64_t end, const AdamW& a) {
  const float step = a.lr / a.correction1, keep = 1.0f - a.decay, inv2 = 1.0f / a.correction2_sqrt;
  const float b1 = a.beta1, b2 = a.beta2, c1 = 1.0f - b1, c2 = 1.0f - b2, clip = a.clip_scale, eps = a.eps;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float grad = g[i] * clip;
    const float mi = m[i] * b1 + grad * c1, vi = v[i] * b2 + grad * grad * c2;
    m[i] = mi;
    v[i] = vi;
    w[i] = w[i] * keep - step * mi / (std::sqrt(vi) * inv2 + eps);
    g[i] = 0;
  }
}

RETORT_CLONES double sum_of_squares(const float* x, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

}  // namespace retort::train::loops
