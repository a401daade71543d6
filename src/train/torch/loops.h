// The trainer's plain loops for fp32 on the CPU: what is neither a matrix product nor autograd. Each works on a range
// of rows, so callers choose the threads; results do not depend on the ranges. Compiled for AVX-512, AVX2 and baseline
// x86-64, chosen when the library loads. Non-goal: matrix products (the BLAS inside libtorch).
#pragma once

#include <cstdint>

namespace retort::train::loops {

// y = x / sqrt(mean(x^2) + eps) * w for rows [begin, end) of `cols`; inverse[row] keeps 1 / sqrt(...).
void rms_norm(const float* x, const float* w, float* y, float* inverse, int64_t begin, int64_t end, int64_t cols,
              float eps);
// dx of the same, with n = x * inverse: dx = inverse * (dy*w - n * mean(dy*w*n)); adds dy * n to dw (null: not wanted).
void rms_norm_backward(const float* dy, const float* x, const float* w, const float* inverse, float* dx, float* dw,
                       int64_t begin, int64_t end, int64_t cols);

// y = silu(gate) * up, where a row of `gu` is gate[cols] then up[cols].
void swiglu(const float* gu, float* y, int64_t begin, int64_t end, int64_t cols);
void swiglu_backward(const float* dy, const float* gu, float* dgu, int64_t begin, int64_t end, int64_t cols);

// Rotary positions, half-split as in Llama: (a, b) -> (a cos - b sin, b cos + a sin) for a = x[i], b = x[i + dim/2].
// `x` and `y` hold `heads` vectors of `dim`; `cosine` and `sine` have dim/2. sign -1 turns back. In place is allowed.
void rope(const float* x, float* y, const float* cosine, const float* sine, int64_t heads, int64_t dim, float sign);

// In place over the first `count` of x: x = exp(x * scale - m) / sum, m the largest; returns m + log(sum). The rest up
// to `width` becomes 0.
float softmax(float* x, int64_t count, int64_t width, float scale);
// x = exp(x * scale - lse) for the first `count`, 0 up to `width`.
void exp_minus(float* x, int64_t count, int64_t width, float scale, float lse);
// ds = p * (dp - delta) * scale over `width`, into dp.
void softmax_backward(const float* p, float* dp, int64_t width, float delta, float scale);
float dot(const float* a, const float* b, int64_t count);

// Cross entropy of one row of logits against `target`, in place: x becomes scale * (softmax(x) - onehot(target)).
// Returns the loss.
float cross_entropy(float* x, int64_t count, int64_t target, float scale);

// AdamW over [begin, end): g is first multiplied by `clip_scale`; decay: lr * weight_decay, applied to the weight
// before the step, as torch.optim.AdamW does. correction1 = 1 - beta1^t, correction2 = 1 - beta2^t. g becomes 0.
struct AdamW {
  float lr, beta1, beta2, eps, decay, clip_scale, correction1, correction2_sqrt;
};
void adamw(float* w, float* g, float* m, float* v, int64_t begin, int64_t end, const AdamW& a);
double sum_of_squares(const float* x, int64_t count);

}  // namespace retort::train::loops
