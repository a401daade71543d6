// The Backend on libtorch: owns the flat vectors, composes the model once, steps the optimizer. libtorch's exceptions
// end here.
#include "train/backend.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <new>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include "train/torch/allocator.h"
#include "train/torch/loops.h"
#include "train/torch/ops.h"

namespace retort::train {
namespace {

constexpr int64_t kChunk = 1 << 16;  // floats of an optimizer task, and of a partial sum of squares

struct Layer {
  Weight norm1, norm2;
  Linear qkv, out, gate_up, down;
};

class TorchBackend final : public Backend {
 public:
  explicit TorchBackend(BackendSpec spec)
      : shape_(spec.shape),
        lora_(spec.lora),
        threads_(std::max(1, spec.threads)),
        logit_floats_(std::max<int64_t>(1, spec.logit_floats)),
        base_(std::move(spec.weights)),
        base_layout_(model_layout(shape_)),
        layout_(lora_.rank > 0 ? lora_layout(shape_, lora_) : base_layout_) {
    install_allocator();
    const auto size = static_cast<size_t>(layout_.size);
    if (lora_.rank > 0) adapters_.assign(size, 0.0f);
    grad_.assign(size, 0.0f);
    first_.assign(size, 0.0f);
    second_.assign(size, 0.0f);
    anchor_ = at::zeros({}, at::TensorOptions().dtype(at::kFloat)).set_requires_grad(true);
    bind();
  }
  ~TorchBackend() override { release_kept_blocks(); }

  const Layout& layout() const override { return layout_; }
  int threads() const override { return threads_; }
  int64_t take_peak_bytes() override { return train::take_peak_bytes(); }

  std::span<float> part(Part part) override {
    switch (part) {
      case Part::Weights: return trainable();
      case Part::Gradient: return grad_;
      case Part::FirstMoment: return first_;
      case Part::SecondMoment: return second_;
    }
    return {};
  }

  Result<double> accumulate(const MicroBatch& batch, double scale) override {
    return guarded(batch, [&] {
      double raw = 0;
      const at::Tensor loss = forward(batch, scale, raw);
      torch::autograd::backward({loss});
      return raw;
    });
  }

  Result<double> loss(const MicroBatch& batch) override {
    return guarded(batch, [&] {
      const at::NoGradGuard no_grad;
      double raw = 0;
      (void)forward(batch, 1.0, raw);
      return raw;
    });
  }

  Result<double> update(const Update& u) override {
    at::set_num_threads(threads_);
    const std::span<float> w = trainable();
    const int64_t chunks = (layout_.size + kChunk - 1) / kChunk;
    std::vector<double> partial(static_cast<size_t>(chunks));
    at::parallel_for(0, chunks, 1, [&](int64_t b, int64_t e) {
      for (int64_t c = b; c < e; ++c)
        partial[static_cast<size_t>(c)] =
            loops::sum_of_squares(grad_.data() + c * kChunk, std::min(kChunk, layout_.size - c * kChunk));
    });
    double sum = 0;
    for (const double p : partial) sum += p;
    const double norm = std::sqrt(sum);
    if (!std::isfinite(norm))
      return fail(Code::Invalid, "the gradient is {} at step {}; lower optimizer.lr (now {}) or set optimizer.clip",
                  norm, u.step, u.lr);

    loops::AdamW a{};
    a.lr = static_cast<float>(u.lr);
    a.beta1 = static_cast<float>(u.beta1);
    a.beta2 = static_cast<float>(u.beta2);
    a.eps = static_cast<float>(u.eps);
    a.clip_scale = u.clip > 0 && norm > u.clip ? static_cast<float>(u.clip / (norm + 1e-6)) : 1.0f;
    a.correction1 = static_cast<float>(1.0 - std::pow(u.beta1, static_cast<double>(u.step)));
    a.correction2_sqrt = static_cast<float>(std::sqrt(1.0 - std::pow(u.beta2, static_cast<double>(u.step))));
    for (const Param& p : layout_.params) {
      a.decay = p.decay ? static_cast<float>(u.lr * u.weight_decay) : 0.0f;
      at::parallel_for(0, (p.size() + kChunk - 1) / kChunk, 1, [&](int64_t b, int64_t e) {
        loops::adamw(w.data(), grad_.data(), first_.data(), second_.data(), p.offset + b * kChunk,
                     p.offset + std::min(p.size(), e * kChunk), a);
      });
    }
    return norm;
  }

 private:
  std::span<float> trainable() { return lora_.rank > 0 ? adapters_ : base_; }

  static at::Tensor view(float* at, int64_t rows, int64_t cols) {
    const auto options = at::TensorOptions().dtype(at::kFloat);
    return cols == 0 ? at::from_blob(at, {rows}, options) : at::from_blob(at, {rows, cols}, options);
  }

  // A weight of the model that begins at parameter `name` and spans `rows` rows.
  Weight model_weight(const std::string& name, int64_t rows) {
    const Param& p = *base_layout_.find(name);
    Weight w{view(base_.data() + p.offset, rows, p.cols), {}};
    if (lora_.rank == 0) w.grad = view(grad_.data() + p.offset, rows, p.cols);
    return w;
  }

  Weight adapter_weight(const std::string& name) {
    const Param& p = *layout_.find(name);
    return {view(adapters_.data() + p.offset, p.rows, p.cols), view(grad_.data() + p.offset, p.rows, p.cols)};
  }

  void bind() {
    embedding_ = model_weight("model.embed_tokens.weight", shape_.vocab);
    norm_ = model_weight("model.norm.weight", shape_.hidden);
    head_ = shape_.tied ? embedding_ : model_weight("lm_head.weight", shape_.vocab);
    for (int64_t i = 0; i < shape_.layers; ++i) {
      const std::string prefix = fmt::format("model.layers.{}.", i);
      Layer layer;
      layer.norm1 = model_weight(prefix + "input_layernorm.weight", shape_.hidden);
      layer.norm2 = model_weight(prefix + "post_attention_layernorm.weight", shape_.hidden);
      layer.qkv.weight = model_weight(prefix + "self_attn.q_proj.weight", shape_.qkv_rows());
      layer.out.weight = model_weight(prefix + "self_attn.o_proj.weight", shape_.hidden);
      layer.gate_up.weight = model_weight(prefix + "mlp.gate_proj.weight", 2 * shape_.ffn);
      layer.down.weight = model_weight(prefix + "mlp.down_proj.weight", shape_.hidden);
      Linear* linears[] = {&layer.qkv, &layer.out, &layer.gate_up, &layer.down};
      if (lora_.rank > 0)
        for (const LinearPart& part : linear_parts(shape_)) {
          const std::string name = fmt::format("base_model.model.{}{}.{}.", prefix, part.block, part.name);
          if (layout_.find(name + "lora_A.weight") == nullptr) continue;
          linears[part.group]->adapters.push_back({adapter_weight(name + "lora_A.weight"),
                                                   adapter_weight(name + "lora_B.weight"), part.row,
                                                   static_cast<float>(lora_.scale())});
        }
      layers_.push_back(std::move(layer));
    }
  }

  // Cosines and sines of all positions below `count`, computed as transformers does (inverse frequencies in fp32).
  void grow_rope(int64_t count) {
    const int64_t half = shape_.head_dim / 2, have = static_cast<int64_t>(cosine_.size()) / half;
    if (count <= have) return;
    cosine_.resize(static_cast<size_t>(count * half));
    sine_.resize(static_cast<size_t>(count * half));
    for (int64_t i = 0; i < half; ++i) {
      const float exponent = static_cast<float>(2 * i) / static_cast<float>(shape_.head_dim);
      const float frequency = 1.0f / static_cast<float>(std::pow(shape_.rope_theta, static_cast<double>(exponent)));
      for (int64_t p = have; p < count; ++p) {
        const float angle = static_cast<float>(p) * frequency;
        cosine_[static_cast<size_t>(p * half + i)] = std::cos(angle);
        sine_[static_cast<size_t>(p * half + i)] = std::sin(angle);
      }
    }
  }

  at::Tensor forward(const MicroBatch& batch, double scale, double& raw) {
    Segments& s = segments_;
    s.starts = batch.starts;
    s.heads = shape_.heads;
    s.kv_heads = shape_.kv_heads;
    s.head_dim = shape_.head_dim;
    int64_t longest = 0;
    for (size_t i = 0; i + 1 < batch.starts.size(); ++i)
      longest = std::max<int64_t>(longest, batch.starts[i + 1] - batch.starts[i]);
    grow_rope(longest);
    s.cosine = cosine_.data();
    s.sine = sine_.data();

    at::Tensor x = embed(anchor_, embedding_, batch.ids);
    for (const Layer& layer : layers_) {
      at::Tensor h = rms_norm(anchor_, x, layer.norm1, shape_.norm_eps);
      h = attention(linear(anchor_, h, layer.qkv, {}), s);
      x = linear(anchor_, h, layer.out, x);
      h = rms_norm(anchor_, x, layer.norm2, shape_.norm_eps);
      h = swiglu(linear(anchor_, h, layer.gate_up, {}));
      x = linear(anchor_, h, layer.down, x);
    }
    x = rms_norm(anchor_, x, norm_, shape_.norm_eps);
    return head_loss(anchor_, x, head_, batch.targets, scale, logit_floats_, raw);
  }

  Status check(const MicroBatch& b) const {
    const size_t tokens = b.ids.size();
    if (tokens == 0 || b.targets.size() != tokens || b.starts.size() < 2 || b.starts.front() != 0 ||
        b.starts.back() != static_cast<int32_t>(tokens) || !std::is_sorted(b.starts.begin(), b.starts.end()))
      return fail(Code::Invalid, "a micro-batch of {} ids, {} targets and {} starts does not fit together", tokens,
                  b.targets.size(), b.starts.size());
    for (size_t i = 0; i < tokens; ++i)
      if (b.ids[i] < 0 || b.ids[i] >= shape_.vocab || b.targets[i] < -1 || b.targets[i] >= shape_.vocab)
        return fail(Code::Invalid,
                    "token {} or its target {} is outside the vocabulary of {}; use the model's own tokenizer",
                    b.ids[i], b.targets[i], shape_.vocab);
    return {};
  }

  template <class F>
  Result<double> guarded(const MicroBatch& batch, F&& work) {
    RETORT_TRY(check(batch));
    try {
      at::set_num_threads(threads_);
      return work();
    } catch (const std::bad_alloc&) {
      return fail(Code::Limit, "no memory for a micro-batch of {} tokens; lower micro_tokens or max_length",
                  batch.ids.size());
    } catch (const c10::Error& e) {
      return fail(Code::Internal, "libtorch: {}", e.what_without_backtrace());
    } catch (const std::exception& e) {
      return fail(Code::Internal, "libtorch: {}", e.what());
    }
  }

  Shape shape_;
  LoraShape lora_;
  int threads_;
  int64_t logit_floats_;
  std::vector<float> base_, adapters_, grad_, first_, second_;
  Layout base_layout_, layout_;
  at::Tensor anchor_;
  Weight embedding_, norm_, head_;
  std::vector<Layer> layers_;
  Segments segments_;
  std::vector<float> cosine_, sine_;
};

}  // namespace
}  // namespace retort::train

extern "C" __attribute__((visibility("default"))) retort::train::Backend* retort_train_open(
    retort::train::BackendSpec* spec, retort::Error* error) {
  try {
    return new retort::train::TorchBackend(std::move(*spec));
  } catch (const std::bad_alloc&) {
    *error = retort::fail(retort::Code::Limit,
                          "no memory for the model's gradients and moments; choose a smaller model or LoRA");
  } catch (const std::exception& e) {
    *error = retort::fail(retort::Code::Internal, "libtorch: {}", e.what());
  }
  return nullptr;
}
