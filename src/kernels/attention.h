// Attention over a KV cache in pages, fp32, grouped queries. The cache keeps keys transposed in panels of 16 positions
// and values in rows, so that scores and weighted sums are both gemm(). A page is kDepth positions: one accumulation
// block, so a row's bits do not depend on how many rows are asked together.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/isa.h"

namespace retort::kernels {

// Positions of a page.
inline constexpr int kPagePositions = kDepth;

// Shape of one layer's part of a page: for each KV head, keys [kPagePositions / 16][head_dim][16], then values
// [kPagePositions][value_stride] with value_stride = head_dim rounded up to 16.
struct KvShape {
  int kv_heads = 0;
  int head_dim = 0;
  int value_stride() const { return (head_dim + kLanes - 1) / kLanes * kLanes; }
  int64_t key_floats() const { return static_cast<int64_t>(kPagePositions) * head_dim; }
  int64_t head_floats() const { return key_floats() + static_cast<int64_t>(kPagePositions) * value_stride(); }
  int64_t layer_floats() const { return head_floats() * kv_heads; }
};

// Writes key and value [head_dim] of one KV head at `position` of the page that holds it. `page_layer` is the layer's
// part of that page; `position` counts within the page.
void put_kv(const KvShape& shape, float* page_layer, int head, int position, const float* key, const float* value);

// Attention of `tokens` consecutive positions of one sequence for one KV head and the `group` query heads that share
// it. pages[i] is this layer's part of page i. Query of token t, head g is queries + t * stride + g * head_dim, its
// output goes to out + t * out_stride + g * head_dim; token t stands at first_position + t and sees all up to itself.
// Scores are scaled by 1 / sqrt(head_dim). Single-threaded; uses thread-local buffers.
void attend(const KvShape& shape, std::span<const float* const> pages, int head, int group, int first_position,
            int tokens, const float* queries, int64_t stride, float* out, int64_t out_stride);

}  // namespace retort::kernels
