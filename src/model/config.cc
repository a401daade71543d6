#include "model/config.h"

#include <cmath>

#include "base/check.h"

namespace retort::model {
namespace {

Status in_range(std::string_view name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    return fail(Code::Invalid, "{} is {}; it must be from {} to {}", name, value, least, most);
  }
  return {};
}

Status id_in_range(std::string_view name, int64_t id, int vocab_size) {
  if (id < 0 || id >= vocab_size) {
    return fail(Code::Invalid, "{} is {}, but the vocabulary has {} entries", name, id, vocab_size);
  }
  return {};
}

// Member `key` as an int between 1 and `most`; `fallback` < 0 means that it must be there.
Status read_size(const Json& json, const char* key, int64_t fallback, int64_t most, int& out) {
  const Json* v = find(json, key);
  if (v == nullptr || v->is_null()) {
    if (fallback < 0) return fail(Code::Invalid, "`{}` is missing", key);
    out = static_cast<int>(fallback);
    return {};
  }
  RETORT_ASSIGN(const int64_t value, get_int(json, key, 0));
  RETORT_TRY(in_range(fmt::format("`{}`", key), value, 1, most));
  out = static_cast<int>(value);
  return {};
}

// A token id or, with `many`, also a list of them. Null and negative ids (an old way to say "none") are left out.
Status read_ids(const Json& json, const char* key, bool many, std::vector<int32_t>& out) {
  const Json* v = find(json, key);
  out.clear();
  if (v == nullptr || v->is_null()) return {};
  const auto add = [&](const Json& id) -> Status {
    if (!id.is_number_integer()) {
      return fail(Code::Invalid, "`{}` must be an integer{}, not {}", key, many ? " or a list of integers" : "",
                  id.type_name());
    }
    if (id.is_number_unsigned() && id.get<uint64_t>() >= static_cast<uint64_t>(kMaxVocab)) {
      return fail(Code::Invalid, "`{}` is {}, beyond any vocabulary", key, id.get<uint64_t>());
    }
    const int64_t value = id.get<int64_t>();
    if (value < 0) return {};
    for (const int32_t known : out) {
      if (known == value) return {};
    }
    out.push_back(static_cast<int32_t>(value));
    return {};
  };
  if (!v->is_array()) return add(*v);
  if (!many) return fail(Code::Invalid, "`{}` must be an integer, not a list", key);
  if (v->size() > 1024) return fail(Code::Invalid, "`{}` lists {} ids, more than 1024", key, v->size());
  for (const Json& id : *v) RETORT_TRY(add(id));
  return {};
}

std::optional<int32_t> first(const std::vector<int32_t>& ids) {
  return ids.empty() ? std::nullopt : std::optional<int32_t>(ids.front());
}

// RoPE as it is: `rope_scaling` (before transformers 5) or `rope_parameters` (since) may only say "default".
Status read_rope(const Json& json, Config& config) {
  RETORT_ASSIGN(config.rope_theta, get_double(json, "rope_theta", config.rope_theta));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = find(json, key);
    if (rope == nullptr || rope->is_null()) continue;
    if (!rope->is_object()) return fail(Code::Invalid, "`{}` must be an object, not {}", key, rope->type_name());
    RETORT_ASSIGN(const std::string old_type, get_string(*rope, "type", "default"));
    RETORT_ASSIGN(const std::string type, get_string(*rope, "rope_type", old_type));
    if (type != "default") return fail(Code::Invalid, "{} type {} is not supported (only default is)", key, type);
    RETORT_ASSIGN(config.rope_theta, get_double(*rope, "rope_theta", config.rope_theta));
    RETORT_ASSIGN(const double part, get_double(*rope, "partial_rotary_factor", 1.0));
    if (part != 1.0)
      return fail(Code::Invalid, "`{}.partial_rotary_factor` {} is not supported (only 1 is)", key, part);
  }
  return {};
}

// What would be computed wrongly if it were ignored.
Status refuse_unsupported(const Json& json) {
  RETORT_ASSIGN(const std::string type, get_string(json, "model_type", ""));
  std::string architecture;
  if (const Json* list = find(json, "architectures"); list != nullptr && list->is_array() && !list->empty()) {
    if (list->front().is_string()) architecture = list->front().get<std::string>();
  }
  if (type.empty() && architecture.empty()) return fail(Code::Invalid, "`model_type` is missing");
  if (!type.empty() && type != "llama") {
    return fail(Code::Invalid, "`model_type` {} is not supported (only llama is)", type);
  }
  if (!architecture.empty() && architecture != "LlamaForCausalLM") {
    return fail(Code::Invalid, "architecture {} is not supported (only LlamaForCausalLM is)", architecture);
  }
  RETORT_ASSIGN(const std::string act, get_string(json, "hidden_act", "silu"));
  if (act != "silu") return fail(Code::Invalid, "`hidden_act` {} is not supported (only silu is)", act);
  for (const char* key : {"attention_bias", "mlp_bias", "rope_interleaved"}) {
    RETORT_ASSIGN(const bool on, get_bool(json, key, false));
    if (on) return fail(Code::Invalid, "`{}` true is not supported", key);
  }
  if (const Json* q = find(json, "quantization_config"); q != nullptr && !q->is_null()) {
    RETORT_ASSIGN(const std::string method, get_string(*q, "quant_method", "unnamed"));
    return fail(Code::Invalid,
                "`quantization_config` ({}) is not supported; use unquantised safetensors or a GGUF file", method);
  }
  return {};
}

}  // namespace

Status check(const Config& c) {
  RETORT_TRY(in_range("vocab_size", c.vocab_size, 1, kMaxVocab));
  RETORT_TRY(in_range("hidden_size", c.hidden_size, 1, kMaxWidth));
  RETORT_TRY(in_range("num_hidden_layers", c.layers, 1, kMaxLayers));
  RETORT_TRY(in_range("num_attention_heads", c.heads, 1, kMaxWidth));
  RETORT_TRY(in_range("num_key_value_heads", c.kv_heads, 1, c.heads));
  RETORT_TRY(in_range("head_dim", c.head_dim, 2, kMaxWidth));
  RETORT_TRY(in_range("intermediate_size", c.ffn_size, 1, kMaxWidth));
  RETORT_TRY(in_range("max_position_embeddings", c.max_context, 1, kMaxContext));
  if (c.heads % c.kv_heads != 0) {
    return fail(Code::Invalid, "num_attention_heads {} is no multiple of num_key_value_heads {}", c.heads, c.kv_heads);
  }
  if (c.head_dim % 2 != 0) return fail(Code::Invalid, "head_dim {} is odd; RoPE rotates pairs", c.head_dim);
  if (static_cast<int64_t>(c.heads) * c.head_dim > kMaxWidth) {
    return fail(Code::Invalid, "num_attention_heads {} times head_dim {} is more than {}", c.heads, c.head_dim,
                kMaxWidth);
  }
  if (!std::isfinite(c.rope_theta) || c.rope_theta <= 0) {
    return fail(Code::Invalid, "rope_theta is {}; it must be positive", c.rope_theta);
  }
  if (!std::isfinite(c.rms_eps) || c.rms_eps < 0 || c.rms_eps > 1) {
    return fail(Code::Invalid, "rms_norm_eps is {}; it must be from 0 to 1", c.rms_eps);
  }
  if (c.bos_id) RETORT_TRY(id_in_range("bos_token_id", *c.bos_id, c.vocab_size));
  if (c.pad_id) RETORT_TRY(id_in_range("pad_token_id", *c.pad_id, c.vocab_size));
  for (const int32_t id : c.eos_ids) RETORT_TRY(id_in_range("eos_token_id", id, c.vocab_size));
  return {};
}

Result<Config> parse_config(const Json& json) {
  if (!json.is_object()) return fail(Code::Invalid, "the config must be an object, not {}", json.type_name());
  RETORT_TRY(refuse_unsupported(json));
  Config c;
  RETORT_TRY(read_size(json, "vocab_size", -1, kMaxVocab, c.vocab_size));
  RETORT_TRY(read_size(json, "hidden_size", -1, kMaxWidth, c.hidden_size));
  RETORT_TRY(read_size(json, "num_hidden_layers", -1, kMaxLayers, c.layers));
  RETORT_TRY(read_size(json, "num_attention_heads", -1, kMaxWidth, c.heads));
  RETORT_TRY(read_size(json, "num_key_value_heads", c.heads, kMaxWidth, c.kv_heads));
  const Json* head_dim = find(json, "head_dim");
  if ((head_dim == nullptr || head_dim->is_null()) && c.hidden_size % c.heads != 0) {
    return fail(Code::Invalid, "`hidden_size` {} is no multiple of `num_attention_heads` {}, and `head_dim` is missing",
                c.hidden_size, c.heads);
  }
  RETORT_TRY(read_size(json, "head_dim", c.hidden_size / c.heads, kMaxWidth, c.head_dim));
  RETORT_TRY(read_size(json, "intermediate_size", -1, kMaxWidth, c.ffn_size));
  RETORT_TRY(read_size(json, "max_position_embeddings", 2048, kMaxContext, c.max_context));
  RETORT_TRY(read_rope(json, c));
  RETORT_ASSIGN(c.rms_eps, get_double(json, "rms_norm_eps", c.rms_eps));
  RETORT_ASSIGN(c.tied_embeddings, get_bool(json, "tie_word_embeddings", false));
  std::vector<int32_t> ids;
  RETORT_TRY(read_ids(json, "bos_token_id", false, ids));
  c.bos_id = first(ids);
  RETORT_TRY(read_ids(json, "pad_token_id", false, ids));
  c.pad_id = first(ids);
  RETORT_TRY(read_ids(json, "eos_token_id", true, c.eos_ids));
  RETORT_TRY(check(c));
  return c;
}

Status parse_generation_config(const Json& json, Config& config, GenerationDefaults& d) {
  if (!json.is_object()) return fail(Code::Invalid, "the file must hold an object, not {}", json.type_name());
  std::vector<int32_t> ids;
  RETORT_TRY(read_ids(json, "bos_token_id", false, ids));
  if (!ids.empty()) config.bos_id = ids.front();
  RETORT_TRY(read_ids(json, "pad_token_id", false, ids));
  if (!ids.empty()) config.pad_id = ids.front();
  RETORT_TRY(read_ids(json, "eos_token_id", true, ids));
  if (!ids.empty()) config.eos_ids = ids;
  const auto given = [&](const char* key) {
    const Json* v = find(json, key);
    return v != nullptr && !v->is_null();
  };
  const auto number = [&](const char* key, double least, double most, std::optional<double>& out) -> Status {
    if (!given(key)) return {};
    RETORT_ASSIGN(const double value, get_double(json, key, 0));
    if (!(value >= least && value <= most)) {
      return fail(Code::Invalid, "`{}` is {}; it must be from {} to {}", key, value, least, most);
    }
    out = value;
    return {};
  };
  const auto integer = [&](const char* key, int64_t most, std::optional<int>& out) -> Status {
    if (!given(key)) return {};
    RETORT_ASSIGN(const int64_t value, get_int(json, key, 0));
    RETORT_TRY(in_range(fmt::format("`{}`", key), value, 0, most));
    out = static_cast<int>(value);
    return {};
  };
  if (given("do_sample")) {
    RETORT_ASSIGN(const bool on, get_bool(json, "do_sample", false));
    d.do_sample = on;
  }
  RETORT_TRY(number("temperature", 0, 1000, d.temperature));
  RETORT_TRY(number("top_p", 0, 1, d.top_p));
  RETORT_TRY(integer("top_k", kMaxVocab, d.top_k));
  RETORT_TRY(number("repetition_penalty", 0, 1000, d.repetition_penalty));
  RETORT_TRY(integer("max_new_tokens", kMaxContext, d.max_new_tokens));
  return check(config);
}

namespace {

Json ids_json(const std::vector<int32_t>& ids) {
  if (ids.empty()) return nullptr;
  return ids.size() == 1 ? Json(ids.front()) : Json(ids);
}

Json id_json(const std::optional<int32_t>& id) { return id ? Json(*id) : Json(nullptr); }

}  // namespace

Json config_json(const Config& c, DType dtype) {
  RETORT_CHECK(dtype == DType::F32 || dtype == DType::BF16);
  const char* type = dtype == DType::F32 ? "float32" : "bfloat16";
  Json json = {
      {"architectures", {"LlamaForCausalLM"}},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"bos_token_id", id_json(c.bos_id)},
      {"eos_token_id", ids_json(c.eos_ids)},
      {"head_dim", c.head_dim},
      {"hidden_act", "silu"},
      {"hidden_size", c.hidden_size},
      {"initializer_range", 0.02},
      {"intermediate_size", c.ffn_size},
      {"max_position_embeddings", c.max_context},
      {"mlp_bias", false},
      {"model_type", "llama"},
      {"num_attention_heads", c.heads},
      {"num_hidden_layers", c.layers},
      {"num_key_value_heads", c.kv_heads},
      {"pad_token_id", id_json(c.pad_id)},
      {"rms_norm_eps", c.rms_eps},
      {"rope_scaling", nullptr},
      {"rope_theta", c.rope_theta},
      {"tie_word_embeddings", c.tied_embeddings},
      {"torch_dtype", type},
      {"use_cache", true},
      {"vocab_size", c.vocab_size},
  };
  return json;
}

Json generation_config_json(const Config& c, const GenerationDefaults& d) {
  Json json = Json::object();
  if (c.bos_id) json["bos_token_id"] = *c.bos_id;
  if (!c.eos_ids.empty()) json["eos_token_id"] = ids_json(c.eos_ids);
  if (c.pad_id) json["pad_token_id"] = *c.pad_id;
  if (d.do_sample) json["do_sample"] = *d.do_sample;
  if (d.temperature) json["temperature"] = *d.temperature;
  if (d.top_p) json["top_p"] = *d.top_p;
  if (d.top_k) json["top_k"] = *d.top_k;
  if (d.repetition_penalty) json["repetition_penalty"] = *d.repetition_penalty;
  if (d.max_new_tokens) json["max_new_tokens"] = *d.max_new_tokens;
  return json;
}

std::vector<ExpectedTensor> expected_tensors(const Config& c) {
  const int64_t d = c.hidden_size, q = static_cast<int64_t>(c.heads) * c.head_dim,
                kv = static_cast<int64_t>(c.kv_heads) * c.head_dim, ffn = c.ffn_size;
  std::vector<ExpectedTensor> out;
  out.push_back({"model.embed_tokens.weight", {c.vocab_size, d}});
  for (int i = 0; i < c.layers; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    out.push_back({layer + "input_layernorm.weight", {d}});
    out.push_back({layer + "self_attn.q_proj.weight", {q, d}});
    out.push_back({layer + "self_attn.k_proj.weight", {kv, d}});
    out.push_back({layer + "self_attn.v_proj.weight", {kv, d}});
    out.push_back({layer + "self_attn.o_proj.weight", {d, q}});
    out.push_back({layer + "post_attention_layernorm.weight", {d}});
    out.push_back({layer + "mlp.gate_proj.weight", {ffn, d}});
    out.push_back({layer + "mlp.up_proj.weight", {ffn, d}});
    out.push_back({layer + "mlp.down_proj.weight", {d, ffn}});
  }
  out.push_back({"model.norm.weight", {d}});
  if (!c.tied_embeddings) out.push_back({"lm_head.weight", {c.vocab_size, d}});
  return out;
}

int64_t parameter_count(const Config& config) {
  int64_t total = 0;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    int64_t count = 1;
    for (const int64_t n : tensor.shape) count *= n;  // below 2^44 each by check(), 2^57 in all
    total += count;
  }
  return total;
}

}  // namespace retort::model
