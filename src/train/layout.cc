#include "train/layout.h"

#include <algorithm>

namespace retort::train {
namespace {

class Builder {
 public:
  void add(std::string name, int64_t rows, int64_t cols, bool decay) {
    layout_.params.push_back({std::move(name), rows, cols, layout_.size, decay});
    layout_.size += layout_.params.back().size();
  }
  Layout take() { return std::move(layout_); }

 private:
  Layout layout_;
};

Status positive(int64_t value, const char* name) {
  if (value > 0 && value < (int64_t{1} << 31)) return {};
  return fail(Code::Invalid, "the model's {} is {}; it must be a positive 31-bit number", name, value);
}

}  // namespace

const Param* Layout::find(const std::string& name) const {
  const auto it = std::find_if(params.begin(), params.end(), [&](const Param& p) { return p.name == name; });
  return it == params.end() ? nullptr : &*it;
}

std::vector<LinearPart> linear_parts(const Shape& s) {
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  return {{"q_proj", "self_attn", 0, 0, q, s.hidden},       {"k_proj", "self_attn", 0, q, kv, s.hidden},
          {"v_proj", "self_attn", 0, q + kv, kv, s.hidden}, {"o_proj", "self_attn", 1, 0, s.hidden, q},
          {"gate_proj", "mlp", 2, 0, s.ffn, s.hidden},      {"up_proj", "mlp", 2, s.ffn, s.ffn, s.hidden},
          {"down_proj", "mlp", 3, 0, s.hidden, s.ffn}};
}

Layout model_layout(const Shape& s) {
  Builder b;
  b.add("model.embed_tokens.weight", s.vocab, s.hidden, false);
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    b.add(prefix + "input_layernorm.weight", s.hidden, 0, false);
    for (const LinearPart& part : linear_parts(s)) {
      if (part.group == 2 && part.row == 0) b.add(prefix + "post_attention_layernorm.weight", s.hidden, 0, false);
      b.add(fmt::format("{}{}.{}.weight", prefix, part.block, part.name), part.rows, part.cols, true);
    }
  }
  b.add("model.norm.weight", s.hidden, 0, false);
  if (!s.tied) b.add("lm_head.weight", s.vocab, s.hidden, true);
  return b.take();
}

Layout lora_layout(const Shape& s, const LoraShape& lora) {
  Builder b;
  for (int64_t layer = 0; layer < s.layers; ++layer)
    for (const LinearPart& part : linear_parts(s)) {
      if (std::find(lora.targets.begin(), lora.targets.end(), part.name) == lora.targets.end()) continue;
      const std::string prefix = fmt::format("base_model.model.model.layers.{}.{}.{}.", layer, part.block, part.name);
      b.add(prefix + "lora_A.weight", lora.rank, part.cols, true);
      b.add(prefix + "lora_B.weight", part.rows, lora.rank, true);
    }
  return b.take();
}

Status check(const Shape& s) {
  RETORT_TRY(positive(s.vocab, "vocab_size"));
  RETORT_TRY(positive(s.hidden, "hidden_size"));
  RETORT_TRY(positive(s.layers, "num_hidden_layers"));
  RETORT_TRY(positive(s.heads, "num_attention_heads"));
  RETORT_TRY(positive(s.kv_heads, "num_key_value_heads"));
  RETORT_TRY(positive(s.head_dim, "head_dim"));
  RETORT_TRY(positive(s.ffn, "intermediate_size"));
  if (s.head_dim % 2 != 0)
    return fail(Code::Invalid, "head_dim {} is odd; rotary positions need an even one", s.head_dim);
  if (s.heads % s.kv_heads != 0)
    return fail(Code::Invalid, "{} attention heads do not share {} key-value heads evenly; choose a divisor", s.heads,
                s.kv_heads);
  if (!(s.norm_eps > 0)) return fail(Code::Invalid, "rms_norm_eps {} must be above 0", s.norm_eps);
  if (!(s.rope_theta > 0)) return fail(Code::Invalid, "rope_theta {} must be above 0", s.rope_theta);
  return {};
}

Status check(const LoraShape& lora) {
  if (lora.rank < 0 || lora.rank > 4096) return fail(Code::Invalid, "lora.rank {} is outside 0 to 4096", lora.rank);
  if (lora.rank == 0) return {};
  if (!(lora.alpha > 0)) return fail(Code::Invalid, "lora.alpha {} must be above 0", lora.alpha);
  if (lora.targets.empty()) return fail(Code::Invalid, "lora.targets is empty; name at least one linear, as q_proj");
  for (const std::string& target : lora.targets) {
    bool known = false;
    for (const LinearPart& part : linear_parts(Shape{})) known = known || target == part.name;
    if (!known)
      return fail(Code::Invalid,
                  "lora.targets names `{}`; known are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
                  target);
  }
  return {};
}

double training_flops(const Shape& s, const LoraShape& lora, int64_t tokens, int64_t targets) {
  double linear = 0, adapters = 0;
  for (const LinearPart& part : linear_parts(s)) {
    linear += static_cast<double>(part.rows * part.cols);
    if (std::find(lora.targets.begin(), lora.targets.end(), part.name) != lora.targets.end())
      adapters += static_cast<double>(lora.rank * (part.rows + part.cols));
  }
  const double n = static_cast<double>(tokens), layers = static_cast<double>(s.layers);
  const bool full = lora.rank == 0;
  const double weights = layers * n * (full ? 6 * linear : 4 * linear + 6 * adapters);
  const double attention = layers * 6.0 * static_cast<double>(s.heads * s.head_dim) * n * n;
  const double head = (full ? 6.0 : 4.0) * static_cast<double>(s.vocab * s.hidden) * static_cast<double>(targets);
  return weights + attention + head;
}

}  // namespace retort::train
