#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace retort::kernels {

void put_kv(const KvShape& shape, float* page_layer, int head, int position, const float* key, const float* value) {
  float* keys = page_layer + head * shape.head_floats();
  float* panel = keys + static_cast<int64_t>(position / kLanes) * shape.head_dim * kLanes + position % kLanes;
  for (int i = 0; i < shape.head_dim; ++i) panel[static_cast<int64_t>(i) * kLanes] = key[i];
  std::memcpy(keys + shape.key_floats() + static_cast<int64_t>(position) * shape.value_stride(), value,
              sizeof(float) * static_cast<size_t>(shape.head_dim));
}

void attend(const KvShape& shape, std::span<const float* const> pages, int head, int group, int first_position,
            int tokens, const float* queries, int64_t stride, float* out, int64_t out_stride) {
  thread_local std::vector<float> query_rows, scores, sums;
  const Isa& kernels = isa();
  const int dim = shape.head_dim, rows = tokens * group, length = first_position + tokens;
  const int padded = (length + kLanes - 1) / kLanes * kLanes;
  RETORT_CHECK(static_cast<size_t>((length + kPagePositions - 1) / kPagePositions) <= pages.size());
  query_rows.resize(static_cast<size_t>(rows) * static_cast<size_t>(dim));
  scores.resize(static_cast<size_t>(rows) * static_cast<size_t>(padded));
  sums.resize(query_rows.size());
  for (int t = 0; t < tokens; ++t)
    std::memcpy(query_rows.data() + static_cast<int64_t>(t) * group * dim, queries + t * stride,
                sizeof(float) * static_cast<size_t>(group) * static_cast<size_t>(dim));

  for (int start = 0; start < length; start += kPagePositions) {
    const float* keys = pages[static_cast<size_t>(start / kPagePositions)] + head * shape.head_floats();
    kernels.gemm(query_rows.data(), dim, rows, dim, {keys, kLanes, static_cast<ptrdiff_t>(dim) * kLanes},
                 std::min(kPagePositions, padded - start), scores.data() + start, padded, false);
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int row = 0; row < rows; ++row) {
    float* s = scores.data() + static_cast<int64_t>(row) * padded;
    const int visible = first_position + row / group + 1;
    kernels.softmax(s, visible, scale);
    std::fill(s + visible, s + length, 0.0f);  // positions that only later tokens see: their products add exact zeros
  }
  for (int start = 0; start < length; start += kPagePositions) {
    const float* values =
        pages[static_cast<size_t>(start / kPagePositions)] + head * shape.head_floats() + shape.key_floats();
    kernels.gemm(scores.data() + start, padded, rows, std::min(kPagePositions, length - start),
                 {values, shape.value_stride(), kLanes}, dim, sums.data(), dim, start > 0);
  }
  for (int t = 0; t < tokens; ++t)
    std::memcpy(out + t * out_stride, sums.data() + static_cast<int64_t>(t) * group * dim,
                sizeof(float) * static_cast<size_t>(group) * static_cast<size_t>(dim));
}

}  // namespace retort::kernels
