// Backend: the seam between training as a procedure (data, schedules, checkpoints: this module) and the arithmetic with
// its gradients (train/torch, a library of its own that is opened on first use, because libtorch costs every start that
// links it 340 ms and 107 MB).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/layout.h"

namespace retort::train {

// Segments laid end to end. No position sees another segment's; positions count from 0 in each.
struct MicroBatch {
  std::vector<int32_t> ids;      // [tokens]
  std::vector<int32_t> targets;  // [tokens]: the token that should follow, or -1: not in the loss
  std::vector<int32_t> starts;   // [segments + 1]: the first token of each segment, then the number of tokens
};

// One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101), gradients first scaled so that their global norm is at
// most `clip` (0: never).
struct Update {
  int64_t step = 1;  // counts from 1, for the bias correction
  double lr = 0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0, clip = 0;
};

enum class Part { Weights, Gradient, FirstMoment, SecondMoment };

class Backend {
 public:
  virtual ~Backend() = default;
  // The trainable parameters: the model's, or with LoRA the adapters'.
  virtual const Layout& layout() const = 0;
  // Forward and backward: adds scale * d(sum of token losses) to the gradient and returns the sum of token losses
  // (natural logarithm, unscaled). Errors: Invalid (ids out of range), Limit (memory), Internal.
  virtual Result<double> accumulate(const MicroBatch& batch, double scale) = 0;
  // The sum of token losses alone.
  virtual Result<double> loss(const MicroBatch& batch) = 0;
  // Changes the weights and clears the gradient; returns the gradient's norm before clipping.
  virtual Result<double> update(const Update& update) = 0;
  // layout().size floats, valid until the next call that is not const.
  virtual std::span<float> part(Part part) = 0;
  // Most bytes of temporary tensors alive at once since the last call (weights, gradients and moments excluded).
  virtual int64_t take_peak_bytes() = 0;
  virtual int threads() const = 0;
};

struct BackendSpec {
  Shape shape;
  LoraShape lora;
  int threads = 1;
  // model_layout(shape).size floats. Trained in place of a copy: the backend takes the vector. With LoRA it stays as it
  // is.
  std::vector<float> weights;
  int64_t logit_floats = 4 << 20;  // logits alive at once: the head works in chunks of this many
};

// Opens the trainer's library beside the program (../lib/retort/libretort_train.so) and makes a backend. LoRA's A
// starts as zeros too: fill it through part(). Errors: NotFound (no library, with what to do), Invalid (shape).
Result<std::unique_ptr<Backend>> open_backend(BackendSpec spec);

}  // namespace retort::train

// What libretort_train.so exports: a new Backend, or nullptr with `error` set. C++ types cross this border because both
// sides come from one build.
extern "C" retort::train::Backend* retort_train_open(retort::train::BackendSpec* spec, retort::Error* error);
