// For tests: small random models and batches.
#pragma once

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "train/backend.h"

namespace retort::train::testing {

inline Shape tiny_shape(bool tied = true) {
  Shape s;
  s.vocab = 37;
  s.hidden = 16;
  s.layers = 2;
  s.heads = 4;
  s.kv_heads = 2;
  s.head_dim = 6;  // heads * head_dim need not be hidden
  s.ffn = 20;
  s.tied = tied;
  return s;
}

inline std::vector<float> random_weights(const Shape& shape, uint64_t seed, double deviation = 0.2) {
  const Layout layout = model_layout(shape);
  std::vector<float> weights(static_cast<size_t>(layout.size));
  Random random(seed);
  for (const Param& p : layout.params)
    for (int64_t i = 0; i < p.size(); ++i)
      weights[static_cast<size_t>(p.offset + i)] =
          static_cast<float>((p.cols == 0 ? 1.0 : 0.0) + deviation * random.normal());
  return weights;
}

inline BackendSpec tiny_spec(const Shape& shape, uint64_t seed = 1) {
  BackendSpec spec;
  spec.shape = shape;
  spec.weights = random_weights(shape, seed);
  return spec;
}

inline std::unique_ptr<Backend> open(BackendSpec spec) {
  auto backend = open_backend(std::move(spec));
  EXPECT_TRUE(backend.ok()) << backend.error().message;
  return backend.ok() ? std::move(*backend) : nullptr;
}

// Segments of the given lengths; about a third of the positions are not in the loss.
inline MicroBatch random_batch(const std::vector<int>& lengths, int64_t vocab, uint64_t seed) {
  Random random(seed);
  MicroBatch batch;
  batch.starts.push_back(0);
  for (const int length : lengths) {
    for (int i = 0; i < length; ++i) {
      batch.ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab))));
      batch.targets.push_back(i + 1 == length || random.below(3) == 0
                                  ? -1
                                  : static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab))));
    }
    batch.starts.push_back(static_cast<int32_t>(batch.ids.size()));
  }
  return batch;
}

}  // namespace retort::train::testing
