// Engine: a local model as a Generator. One scheduler thread owns the sequences and batches whatever there is to do:
// pieces of prompts and single decode steps share each pass over the weights. A row's bits depend on its own sequence
// only, so a request's results are the same whatever else is in the batch and however many threads there are.
// Non-goals: HTTP (serve), speculative decoding, eviction of running sequences (a request waits until its KV cache
// fits).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/options.h"
#include "base/result.h"
#include "infer/network.h"
#include "model/generator.h"
#include "model/model.h"

namespace retort::infer {

struct Options {
  int max_context = 0;          // positions of one sequence; 0: what the model was trained for
  int64_t kv_limit_mib = 4096;  // all KV caches together; a request that could not fit alone is refused
  uint64_t seed = 0;            // for requests without a seed: the n-th such request draws from (seed, n)
  std::string name;             // as in API responses; "": the model's own name
  int threads = 0;              // 0: those the process may use
  int max_batch = 32;           // sequences that decode together
  int prefill_chunk = 256;      // prompt tokens in one pass; longer chunks delay the running sequences longer

  template <class V>
  void fields(V&& v) {
    v("max_context", max_context, "positions of one sequence; 0: what the model was trained for", {.low = 0});
    v("kv_limit_mib", kv_limit_mib, "memory of all KV caches together", {.low = 1, .high = 1 << 30});
    v("seed", seed, "seed of requests that bring none");
    v("name", name, "the model's name in API responses");
    v("threads", threads, "threads; 0: those the process may use", {.low = 0, .high = 4096});
    v("max_batch", max_batch, "sequences that decode together", {.low = 1, .high = 65536});
    v("prefill_chunk", prefill_chunk, "prompt tokens in one pass", {.low = 1, .high = 1 << 20});
  }
};

class Engine final : public model::Generator {
 public:
  // Packs the weights (a copy in kernel layout). Errors: Invalid for an option that cannot work, Limit for memory.
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<const model::Model> model, const Options& options = {});
  ~Engine() override;

  // See Generator. Errors through on_done: Invalid for unknown ids, an empty prompt or a missing template; Limit where
  // the prompt does not fit the context, with both numbers.
  void submit(model::Request request, model::Callbacks callbacks, Cancel cancel) override;
  std::string name() const override;

  const model::Model& model() const;
  int max_context() const;
  // For scoring given tokens beside the scheduler (infer/scorer.h): weights are shared, buffers are not. Thread-safe.
  std::shared_ptr<const Network> network() const;

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace retort::infer
