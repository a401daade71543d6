// The Config of a GGUF file: keys of llama.cpp's `llama` architecture (gguf-py/gguf/constants.py, class Keys).
#include <charconv>
#include <cmath>

#include "model/config.h"
#include "model/gguf.h"

namespace retort::model {
namespace {

// The double nearest to the shortest decimal text of a float: 1e-05f is 1e-05 again, as config.json had it before the
// conversion, and not 9.999999747378752e-06.
double widen(double value) {
  const float narrow = static_cast<float>(value);
  if (!std::isfinite(value) || static_cast<double>(narrow) != value) return value;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, narrow);
  std::from_chars(text, end.ptr, value);
  return value;
}

Status need_size(const GgufMetadata& m, const char* key, int64_t least, int64_t most, int& out) {
  if (!m.has(key)) return fail(Code::Invalid, "GGUF key `{}` is missing", key);
  RETORT_ASSIGN(const int64_t value, m.get_int(key, 0));
  if (value < least || value > most) {
    return fail(Code::Invalid, "GGUF key `{}` is {}; it must be from {} to {}", key, value, least, most);
  }
  out = static_cast<int>(value);
  return {};
}

Status optional_size(const GgufMetadata& m, const char* key, int fallback, int64_t most, int& out) {
  if (m.has(key)) return need_size(m, key, 1, most, out);
  out = fallback;
  return {};
}

Status token_id(const GgufMetadata& m, const char* key, int vocab_size, std::optional<int32_t>& out) {
  if (!m.has(key)) return {};
  RETORT_ASSIGN(const int64_t id, m.get_int(key, 0));
  if (id < 0 || id == static_cast<int64_t>(UINT32_MAX)) return {};  // ways to say "none"
  if (id >= vocab_size) {
    return fail(Code::Invalid, "GGUF key `{}` is {}, but the vocabulary has {} entries", key, id, vocab_size);
  }
  out = static_cast<int32_t>(id);
  return {};
}

// What would be computed wrongly if it were ignored.
Status refuse_unsupported(const GgufMetadata& m) {
  RETORT_ASSIGN(const std::string architecture, m.get_string("general.architecture", ""));
  if (architecture != "llama") {
    return fail(Code::Invalid, "GGUF architecture `{}` is not supported (only llama is)", architecture);
  }
  RETORT_ASSIGN(const std::string scaling, m.get_string("llama.rope.scaling.type", "none"));
  RETORT_ASSIGN(const double factor, m.get_double("llama.rope.scaling.factor", 1.0));
  RETORT_ASSIGN(const double linear, m.get_double("llama.rope.scale_linear", 1.0));
  if (scaling != "none" && !(scaling == "linear" && factor == 1.0)) {
    return fail(Code::Invalid, "llama.rope.scaling.type {} is not supported (only none is)", scaling);
  }
  if (linear != 1.0) return fail(Code::Invalid, "llama.rope.scale_linear {} is not supported (only 1 is)", linear);
  for (const char* key : {"llama.expert_count", "llama.attention.sliding_window"}) {
    RETORT_ASSIGN(const int64_t value, m.get_int(key, 0));
    if (value != 0) return fail(Code::Invalid, "GGUF key `{}` {} is not supported", key, value);
  }
  return {};
}

}  // namespace

Result<Config> parse_config(const GgufMetadata& m, bool tied, int64_t vocab_rows) {
  RETORT_TRY(refuse_unsupported(m));
  Config c;
  if (vocab_rows < 1 || vocab_rows > kMaxVocab) {
    return fail(Code::Invalid, "token_embd.weight has {} rows; a vocabulary has from 1 to {}", vocab_rows, kMaxVocab);
  }
  c.vocab_size = static_cast<int>(vocab_rows);
  int declared = c.vocab_size;
  RETORT_TRY(optional_size(m, "llama.vocab_size", c.vocab_size, kMaxVocab, declared));
  if (declared != c.vocab_size) {
    return fail(Code::Invalid, "GGUF key `llama.vocab_size` is {}, but token_embd.weight has {} rows", declared,
                c.vocab_size);
  }
  RETORT_TRY(need_size(m, "llama.embedding_length", 1, kMaxWidth, c.hidden_size));
  RETORT_TRY(need_size(m, "llama.block_count", 1, kMaxLayers, c.layers));
  RETORT_TRY(need_size(m, "llama.attention.head_count", 1, kMaxWidth, c.heads));
  RETORT_TRY(optional_size(m, "llama.attention.head_count_kv", c.heads, kMaxWidth, c.kv_heads));
  RETORT_TRY(need_size(m, "llama.feed_forward_length", 1, kMaxWidth, c.ffn_size));
  RETORT_TRY(need_size(m, "llama.context_length", 1, kMaxContext, c.max_context));
  if (!m.has("llama.attention.key_length") && c.hidden_size % c.heads != 0) {
    return fail(Code::Invalid,
                "llama.embedding_length {} is no multiple of llama.attention.head_count {}, and "
                "llama.attention.key_length is missing",
                c.hidden_size, c.heads);
  }
  RETORT_TRY(optional_size(m, "llama.attention.key_length", c.hidden_size / c.heads, kMaxWidth, c.head_dim));
  for (const char* key : {"llama.attention.value_length", "llama.rope.dimension_count"}) {
    int same = c.head_dim;
    RETORT_TRY(optional_size(m, key, c.head_dim, kMaxWidth, same));
    if (same != c.head_dim) {
      return fail(Code::Invalid, "GGUF key `{}` is {}; only the head's own size, {}, is supported", key, same,
                  c.head_dim);
    }
  }
  RETORT_ASSIGN(const double theta, m.get_double("llama.rope.freq_base", c.rope_theta));
  c.rope_theta = widen(theta);
  if (!m.has("llama.attention.layer_norm_rms_epsilon")) {
    return fail(Code::Invalid, "GGUF key `llama.attention.layer_norm_rms_epsilon` is missing");
  }
  RETORT_ASSIGN(const double eps, m.get_double("llama.attention.layer_norm_rms_epsilon", c.rms_eps));
  c.rms_eps = widen(eps);
  c.tied_embeddings = tied;
  RETORT_TRY(token_id(m, "tokenizer.ggml.bos_token_id", c.vocab_size, c.bos_id));
  RETORT_TRY(token_id(m, "tokenizer.ggml.padding_token_id", c.vocab_size, c.pad_id));
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    std::optional<int32_t> id;
    RETORT_TRY(token_id(m, key, c.vocab_size, id));
    if (id && (c.eos_ids.empty() || c.eos_ids.front() != *id)) c.eos_ids.push_back(*id);
  }
  RETORT_TRY(check(c));
  return c;
}

}  // namespace retort::model
