// Layout: where each parameter of a Llama-family model lies in one flat vector of floats. Gradients, moments and
// checkpoints share it, so the optimizer is one loop. q, k, v and gate, up lie side by side: each group is one matrix.
// Non-goal: weight files (model/).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace retort::train {

// What the trainer needs to know of a model's configuration.
struct Shape {
  int64_t vocab = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0;
  int64_t max_positions = 2048;
  double norm_eps = 1e-5;
  double rope_theta = 10000.0;
  bool tied = true;

  int64_t qkv_rows() const { return (heads + 2 * kv_heads) * head_dim; }
};

// Low-rank adapters (Hu et al., arXiv:2106.09685): y = x W' + alpha / rank * (x A') B'. rank 0: none, all weights
// train.
struct LoraShape {
  int64_t rank = 0;
  double alpha = 0;
  std::vector<std::string> targets;  // "q_proj", ..., as PEFT names them

  double scale() const { return rank == 0 ? 0.0 : alpha / static_cast<double>(rank); }
};

struct Param {
  std::string name;  // as in Hugging Face's files (adapters: as in PEFT's)
  int64_t rows = 0;  // outputs
  int64_t cols = 0;  // inputs; 0 for a vector of `rows`
  int64_t offset = 0;
  bool decay = false;  // weight decay applies: matrices other than the embedding

  int64_t size() const { return cols == 0 ? rows : rows * cols; }
};

struct Layout {
  std::vector<Param> params;
  int64_t size = 0;  // floats

  // The parameter called `name`, or nullptr.
  const Param* find(const std::string& name) const;
};

// One linear of a layer, with the part of its fused matrix that it fills.
struct LinearPart {
  const char* name;                     // "q_proj"
  const char* block;                    // "self_attn" or "mlp"
  int group;                            // 0: qkv, 1: o, 2: gate and up, 3: down
  int64_t row = 0, rows = 0, cols = 0;  // row: first row within the group's fused matrix
};
std::vector<LinearPart> linear_parts(const Shape& shape);

// All weights, in the order embedding, layers (norm, q, k, v, o, norm, gate, up, down), norm, head where not tied.
Layout model_layout(const Shape& shape);
// The adapters' A [rank, in] and B [out, rank], layer by layer in the order of linear_parts.
Layout lora_layout(const Shape& shape, const LoraShape& lora);

// Invalid, naming the field, where the shape is not one that the trainer can run.
Status check(const Shape& shape);
Status check(const LoraShape& lora);

// Multiply-adds counted as two, forward and backward, of one segment of `tokens` positions with `targets` of them in
// the loss: linears 6 a weight (LoRA: 4, no weight gradient), causal attention 6 * heads * head_dim * tokens^2, head 6
// * vocab
// * hidden a target.
double training_flops(const Shape& shape, const LoraShape& lora, int64_t tokens, int64_t targets);

}  // namespace retort::train
