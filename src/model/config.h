// The shape of a Llama-family model and how it likes to be sampled, from config.json, generation_config.json or GGUF
// metadata. Every number is checked here, once, so that those who compute with it need not. What retort does not
// compute (other architectures, RoPE scaling, biases) is refused by name rather than computed wrongly.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "model/tensor.h"

namespace retort::model {

class GgufMetadata;

struct Config {
  int vocab_size = 0;   // rows of the embedding; the tokenizer may use fewer
  int hidden_size = 0;  // d
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;  // divides heads
  int head_dim = 0;  // even; heads * head_dim need not equal hidden_size
  int ffn_size = 0;  // intermediate_size
  double rope_theta = 10000.0;
  double rms_eps = 1e-6;
  int max_context = 2048;  // max_position_embeddings
  bool tied_embeddings = false;
  std::optional<int32_t> bos_id;
  std::optional<int32_t> pad_id;
  std::vector<int32_t> eos_ids;  // generation ends at any of these; generation_config overrides config

  bool operator==(const Config&) const = default;
};

// generation_config.json's wishes; absent where the file does not say.
struct GenerationDefaults {
  std::optional<bool> do_sample;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int> top_k;
  std::optional<double> repetition_penalty;
  std::optional<int> max_new_tokens;

  bool operator==(const GenerationDefaults&) const = default;
};

// Bounds that no model of this family comes near; a lying file must not make us multiply beyond 64 bits.
inline constexpr int kMaxLayers = 4096;
inline constexpr int kMaxWidth = 1 << 20;  // hidden_size, ffn_size, heads * head_dim
inline constexpr int kMaxVocab = 1 << 24;
inline constexpr int kMaxContext = 1 << 28;

// Invalid, naming the field and its value, where a size is out of bounds or two contradict each other.
Status check(const Config& config);

// From the parsed config.json. Errors: Invalid, naming the key, its value and what is supported.
Result<Config> parse_config(const Json& json);
// From GGUF metadata; `tied` says that the file has no output.weight, `vocab_rows` is the embedding's first dimension.
Result<Config> parse_config(const GgufMetadata& metadata, bool tied, int64_t vocab_rows);
// Reads generation_config.json into `defaults` and overrides the ids of `config` where it names some.
Status parse_generation_config(const Json& json, Config& config, GenerationDefaults& defaults);

// config.json and generation_config.json that transformers loads as LlamaForCausalLM. `dtype` is F32 or BF16.
Json config_json(const Config& config, DType dtype);
Json generation_config_json(const Config& config, const GenerationDefaults& defaults);

// One tensor that a model of this config has: its Hugging Face name and its shape.
struct ExpectedTensor {
  std::string name;
  Shape shape;
};
// In the order of a forward pass: embedding, layers, final norm, and lm_head.weight where it is not tied:
//   model.embed_tokens.weight [vocab, d]         model.norm.weight [d]            lm_head.weight [vocab, d]
//   model.layers.<i>. input_layernorm.weight [d], self_attn.q_proj.weight [heads*head_dim, d],
//     self_attn.{k,v}_proj.weight [kv_heads*head_dim, d], self_attn.o_proj.weight [d, heads*head_dim],
//     post_attention_layernorm.weight [d], mlp.{gate,up}_proj.weight [ffn, d], mlp.down_proj.weight [d, ffn]
std::vector<ExpectedTensor> expected_tensors(const Config& config);
// Weights counted once (tied embeddings too).
int64_t parameter_count(const Config& config);

}  // namespace retort::model
