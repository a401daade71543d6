// GGUF files: every tensor of a file that is accepted lies inside it, every metadata value can be asked for in every
// way, and what the metadata says about shape and text makes a config, a tokenizer and a template, or is refused.
#include "model/gguf.h"

#include "base/env.h"
#include "base/fuzz/target.h"
#include "model/model.h"
#include "model/tokenizer_load.h"

namespace {

using retort::model::GgufType;

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string text(const std::string& s) { return raw<uint64_t>(s.size()) + s; }
std::string key(const std::string& name, GgufType type) { return text(name) + raw(static_cast<uint32_t>(type)); }
std::string list(const std::vector<std::string>& items) {
  std::string out = raw(static_cast<uint32_t>(GgufType::String)) + raw<uint64_t>(items.size());
  for (const std::string& item : items) out += text(item);
  return out;
}
std::string u32(const std::string& name, uint32_t value) { return key(name, GgufType::U32) + raw(value); }

std::string file(const std::vector<std::string>& pairs, const std::vector<std::string>& tensors, size_t data) {
  std::string out = "GGUF" + raw<uint32_t>(3) + raw<uint64_t>(tensors.size()) + raw<uint64_t>(pairs.size());
  for (const std::string& pair : pairs) out += pair;
  for (const std::string& tensor : tensors) out += tensor;
  out.resize((out.size() + 31) / 32 * 32);
  return out + std::string(data, '\x11');
}
// Two dimensions, the contiguous one first, as the format has them.
std::string tensor(const std::string& name, uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset) {
  return text(name) + raw<uint32_t>(2) + raw(cols) + raw(rows) + raw(type) + raw(offset);
}
std::string vector(const std::string& name, uint64_t size, uint64_t offset) {
  return text(name) + raw<uint32_t>(1) + raw(size) + raw<uint32_t>(0) + raw(offset);
}

// A whole model of one layer, width 32, in Q8_0 and F32.
std::string tiny_model() {
  const std::vector<std::string> words = {"a", "b", "ab", "<s>", "</s>", "\xC4\xA0", "c", "d"};
  std::string types = raw(static_cast<uint32_t>(GgufType::I32)) + raw<uint64_t>(words.size());
  for (const int type : {1, 1, 1, 3, 3, 1, 4, 1}) types += raw<int32_t>(type);
  const std::vector<std::string> pairs = {
      key("general.architecture", GgufType::String) + text("llama"),
      u32("llama.block_count", 1),
      u32("llama.context_length", 64),
      u32("llama.embedding_length", 32),
      u32("llama.feed_forward_length", 32),
      u32("llama.attention.head_count", 2),
      u32("llama.attention.head_count_kv", 1),
      key("llama.attention.layer_norm_rms_epsilon", GgufType::F32) + raw(1e-5f),
      key("llama.rope.freq_base", GgufType::F64) + raw(1e4),
      key("tokenizer.ggml.model", GgufType::String) + text("gpt2"),
      key("tokenizer.ggml.pre", GgufType::String) + text("smollm"),
      key("tokenizer.ggml.tokens", GgufType::Array) + list(words),
      key("tokenizer.ggml.token_type", GgufType::Array) + types,
      key("tokenizer.ggml.merges", GgufType::Array) + list({"a b"}),
      u32("tokenizer.ggml.bos_token_id", 3),
      u32("tokenizer.ggml.eos_token_id", 4),
      key("tokenizer.ggml.add_bos_token", GgufType::Bool) + raw<uint8_t>(1),
      key("tokenizer.chat_template", GgufType::String) + text("{{ bos_token }}{{ messages[0].content }}")};
  std::vector<std::string> tensors;
  uint64_t at = 0;
  const auto matrix = [&](const std::string& name, uint64_t rows) {
    tensors.push_back(tensor(name, 32, rows, 8, at));
    at += (rows * 34 + 31) / 32 * 32;
  };
  const auto norm = [&](const std::string& name) {
    tensors.push_back(vector(name, 32, at));
    at += 128;
  };
  matrix("token_embd.weight", 8);
  norm("blk.0.attn_norm.weight");
  matrix("blk.0.attn_q.weight", 32);
  matrix("blk.0.attn_k.weight", 16);
  matrix("blk.0.attn_v.weight", 16);
  matrix("blk.0.attn_output.weight", 32);
  norm("blk.0.ffn_norm.weight");
  matrix("blk.0.ffn_gate.weight", 32);
  matrix("blk.0.ffn_up.weight", 32);
  matrix("blk.0.ffn_down.weight", 32);
  norm("output_norm.weight");
  return file(pairs, tensors, at);
}

void ask(const retort::model::GgufMetadata& metadata) {
  for (const std::string& name : metadata.keys()) {
    (void)metadata.describe(name);
    const bool read[] = {metadata.get_string(name, "").ok(), metadata.get_int(name, 0).ok(),
                         metadata.get_double(name, 0).ok(),  metadata.get_bool(name, false).ok(),
                         metadata.get_strings(name).ok(),    metadata.get_ints(name).ok(),
                         metadata.get_floats(name).ok()};
    RETORT_CHECK(std::count(std::begin(read), std::end(read), true) <= 1);
  }
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {tiny_model(), file({}, {}, 0),
          file({u32("general.alignment", 64),
                key("x", GgufType::Array) + raw<uint32_t>(9) + raw<uint64_t>(1) + raw<uint32_t>(0) + raw<uint64_t>(2) +
                    "ab",
                key("y", GgufType::I64) + raw<int64_t>(-1), key("z", GgufType::U64) + raw(UINT64_MAX)},
               {vector("v", 4, 0)}, 64),
          file({}, {tensor("q", 64, 2, 2, 0), tensor("k", 256, 1, 12, 96)}, 240)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view bytes = fuzz::text_of(data, size);
  const auto parsed = model::parse_gguf(bytes, "the file");
  if (!parsed.ok()) {
    fuzz::check_refusal(parsed.error());
    RETORT_CHECK(parsed.error().message.find("the file") != std::string::npos);
    return 0;
  }
  ask(parsed->metadata);
  for (const model::StoredTensor& stored : parsed->tensors) {
    RETORT_CHECK(stored.bytes.empty() || (stored.bytes.data() >= bytes.data() &&
                                          stored.bytes.data() + stored.bytes.size() <= bytes.data() + bytes.size()));
    const auto tensor = model::as_tensor(stored, nullptr);
    if (tensor.ok()) RETORT_CHECK(model::to_f32(*tensor).size() == static_cast<size_t>(tensor->count()));
  }
  static const fuzz::Folder folder;
  const std::string path = folder.put("model.gguf", bytes);
  if (const auto weights = model::load_weights(path); !weights.ok()) fuzz::check_refusal(weights.error());
  const auto parts = model::load_text(path, system_env());
  if (!parts.ok()) {
    fuzz::check_refusal(parts.error());
    return 0;
  }
  const auto ids = parts->tokenizer.encode("ab <s>c\xC3\xA9", true);
  if (!ids.ok()) {
    fuzz::check_refusal(ids.error());
    return 0;
  }
  for (const int32_t id : *ids) RETORT_CHECK(id >= 0 && id < parts->tokenizer.vocab_size());
  return 0;
}
