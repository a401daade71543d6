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
#include "kernels/matrix.h"
#include "model/model.h"

namespace retort::infer {

class KvCache;

// One token of one sequence in a pass. Rows of a sequence stand together, in the order of their positions.
struct Row {
  KvCache* cache = nullptr;
  int32_t id = 0;
  int position = 0;
  bool wants_logits = false;
};

// Buffers of a pass; grow to the largest batch seen. One thread at a time.
struct Workspace {
  std::vector<float> hidden, normed, qkv, attended, gate_up, mlp, picked, logits;
  kernels::Activations activations;
};

class Network {
 public:
  // `pool` runs the kernels and must outlive nothing: it is shared. Errors: Invalid or NotFound for tensors that are
  // missing or of the wrong shape.
  static Result<std::shared_ptr<const Network>> create(std::shared_ptr<const model::Model> model,
                                                       std::shared_ptr<TaskPool> pool, int max_context = 0);
  ~Network();

  // Runs the rows, extends their caches (which must have room for the positions) and returns the logits of those rows
  // that want them, row major [wanting][vocabulary], valid until the workspace is used again. Each row's bits are a
  // function of its own sequence alone.
  std::span<const float> forward(std::span<const Row> rows, Workspace& workspace) const;

  std::unique_ptr<KvCache> make_cache() const;
  int64_t kv_bytes_per_position() const;
  int vocabulary() const;
  int max_context() const;
  const model::Model& model() const;
  TaskPool& pool() const;

 private:
  struct State;
  explicit Network(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace retort::infer
