// Network: a model's weights in kernel layout and the forward pass over a batch of rows (Llama family: RMSNorm, RoPE in
// the half-split convention, grouped-query attention, SiLU-gated MLP; tied or separate head). Immutable after create(),
// so engines and scorers share one. Activations and KV cache are fp32.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/task_pool.h"
#include "infer/kv_cache.h"
#include "kernels/matrix.h"
#include "model/model.h"

namespace retort::infer {

// One token of one sequence in a pass. Rows of a sequence stand together, in the order of their positions.
struct Row {
  KvCache* cache = nullptr;
  int32_t id = 0;
  int position = 0;
  bool wants_logits = false;
};

// Buffers of a pass; grow to the largest batch seen. One thread at a time.
struct Workspace {
  std::vector<float> hidden, normed, qkv, attended, gate_up, delta, cosine, sine, logits;
  kernels::Activations activations;
};

class Network {
 public:
  // Copies the matrices into kernel layout, in their own number type (infer/pack.h). `max_context` 0: as trained.
  // Errors: Invalid for a context past that, Limit where memory is short,
  // Corrupt where a weight is NaN or infinite or a file was cut short meanwhile.
  static Result<std::shared_ptr<const Network>> create(std::shared_ptr<const model::Weights> weights,
                                                       std::shared_ptr<TaskPool> pool, int max_context = 0);
  ~Network();

  // Runs the rows, writes their keys and values to their caches (prepared for these positions) and returns the logits
  // of those rows that want them, row major [wanting][vocabulary], valid until the workspace is used again. Each row's
  // bits are a function of its own sequence alone.
  std::span<const float> forward(std::span<const Row> rows, Workspace& workspace) const;

  KvCache make_cache() const;
  int vocabulary() const;
  int max_context() const;
  const model::Weights& weights() const;
  int64_t matrix_bytes() const;  // read by one decode step
  TaskPool& pool() const;

 private:
  struct State;
  explicit Network(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace retort::infer
