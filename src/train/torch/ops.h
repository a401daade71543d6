// The ops that the model is composed of, each an autograd function on fp32 CPU tensors. Weights are not autograd
// leaves: an op adds to its weight's gradient in place (one flat vector, no copies), so that a whole backward pass
// allocates activations only. `anchor` is a scalar that requires grad: it makes an op's result part of the graph
// although its input may not be. Non-goals: second derivatives, in-place changes of inputs.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace retort::train {

// Views into the flat vectors. `grad` is undefined where the weight is frozen.
struct Weight {
  at::Tensor value, grad;
};

// A low-rank addition to rows [row, row + b.rows) of a linear's output.
struct Adapter {
  Weight a, b;  // [rank, in], [out, rank]
  int64_t row = 0;
  float scale = 0;
};

struct Linear {
  Weight weight;  // [out, in]
  std::vector<Adapter> adapters;
};

// What attention needs beside q, k, v.
struct Segments {
  std::vector<int32_t> starts;    // [segments + 1]
  const float* cosine = nullptr;  // [positions, head_dim / 2]
  const float* sine = nullptr;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
};

// Rows of `table` by id: [tokens, hidden].
at::Tensor embed(const at::Tensor& anchor, const Weight& table, const std::vector<int32_t>& ids);
at::Tensor rms_norm(const at::Tensor& anchor, const at::Tensor& x, const Weight& weight, double eps);
// x W' (+ adapters) (+ residual, where defined).
at::Tensor linear(const at::Tensor& anchor, const at::Tensor& x, const Linear& w, const at::Tensor& residual);
// qkv [tokens, (heads + 2 kv_heads) * head_dim] to [tokens, heads * head_dim]: rotary positions counted from each
// segment's start, causal softmax within the segment. Works in blocks of queries: no [tokens, tokens] matrix.
at::Tensor attention(const at::Tensor& qkv, const Segments& segments);
at::Tensor swiglu(const at::Tensor& gate_up);
// Sum of cross entropies at the positions whose target is not -1, times `scale`; `raw` receives the unscaled sum.
// Logits exist a chunk of rows at a time, at most `logit_floats` of them (at least one row); where a gradient is wanted
// it is computed in the forward pass, so backward() may only be seeded with 1.
at::Tensor head_loss(const at::Tensor& anchor, const at::Tensor& hidden, const Weight& head,
                     const std::vector<int32_t>& targets, double scale, int64_t logit_floats, double& raw);

}  // namespace retort::train
