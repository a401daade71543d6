// Test only: makes the bytes of small GGUF and safetensors files, right ones and lying ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "model/config.h"
#include "model/tensor.h"

namespace retort::model::fixture {

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// Fields are open so that a test can lie in any of them.
struct GgufBuilder {
  uint32_t version = 3;
  uint64_t alignment = 32;
  std::string pairs, infos, data;
  uint64_t pair_count = 0, tensor_count = 0;

  static std::string text(const std::string& s) { return raw<uint64_t>(s.size()) + s; }
  void pair(const std::string& key, uint32_t type, const std::string& payload) {
    pairs += text(key) + raw(type) + payload;
    ++pair_count;
  }
  void u32(const std::string& key, uint32_t value) { pair(key, 4, raw(value)); }
  void f32(const std::string& key, float value) { pair(key, 6, raw(value)); }
  void boolean(const std::string& key, bool value) { pair(key, 7, raw<uint8_t>(value)); }
  void string(const std::string& key, const std::string& value) { pair(key, 8, text(value)); }
  void strings(const std::string& key, const std::vector<std::string>& values) {
    std::string payload = raw<uint32_t>(8) + raw<uint64_t>(values.size());
    for (const auto& value : values) payload += text(value);
    pair(key, 9, payload);
  }
  void ints(const std::string& key, const std::vector<int32_t>& values) {
    std::string payload = raw<uint32_t>(5) + raw<uint64_t>(values.size());
    for (const auto value : values) payload += raw(value);
    pair(key, 9, payload);
  }
  // `shape` as in Hugging Face (the last dimension contiguous).
  void tensor(const std::string& name, const std::vector<int64_t>& shape, uint32_t type, const std::string& bytes) {
    data.resize((data.size() + alignment - 1) / alignment * alignment, '\0');
    info(name, shape, type, data.size());
    data += bytes;
  }
  void info(const std::string& name, const std::vector<int64_t>& shape, uint32_t type, uint64_t offset) {
    infos += text(name) + raw<uint32_t>(static_cast<uint32_t>(shape.size()));
    for (size_t i = shape.size(); i-- > 0;) infos += raw<uint64_t>(static_cast<uint64_t>(shape[i]));
    infos += raw(type) + raw(offset);
    ++tensor_count;
  }
  std::string bytes() const {
    std::string head = "GGUF" + raw(version) + raw(tensor_count) + raw(pair_count) + pairs + infos;
    head.resize((head.size() + alignment - 1) / alignment * alignment, '\0');
    return head + data;
  }
};

inline std::string safetensors(const std::string& header, const std::string& buffer) {
  return raw<uint64_t>(header.size()) + header + buffer;
}

inline void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// A folder of its own that goes away with the object.
struct Folder {
  std::filesystem::path path;
  explicit Folder(const std::string& name) : path(std::filesystem::path(::testing::TempDir()) / ("retort_" + name)) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

inline Config tiny_config(bool tied) {
  Config c;
  c.vocab_size = 40;
  c.hidden_size = 32;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.ffn_size = 64;
  c.rms_eps = 1e-5;
  c.max_context = 128;
  c.tied_embeddings = tied;
  c.bos_id = 1;
  c.eos_ids = {2};
  return c;
}

inline std::vector<NamedTensor> random_tensors(const Config& config, uint64_t seed) {
  std::vector<NamedTensor> out;
  for (const auto& [name, shape] : expected_tensors(config)) {
    std::vector<float> values(static_cast<size_t>(*weight_count(shape)));
    Random random(seed, out.size());
    for (float& value : values) value = static_cast<float>(random.normal() * 0.05);
    out.push_back({name, make_tensor(shape, std::move(values))});
  }
  return out;
}

inline std::string f32_bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// The llama.cpp name of a Hugging Face name.
inline std::string gguf_name(std::string name) {
  const std::pair<const char*, const char*> kNames[] = {{"model.embed_tokens", "token_embd"},
                                                        {"model.norm", "output_norm"},
                                                        {"lm_head", "output"},
                                                        {"model.layers", "blk"},
                                                        {"input_layernorm", "attn_norm"},
                                                        {"post_attention_layernorm", "ffn_norm"},
                                                        {"self_attn.q_proj", "attn_q"},
                                                        {"self_attn.k_proj", "attn_k"},
                                                        {"self_attn.v_proj", "attn_v"},
                                                        {"self_attn.o_proj", "attn_output"},
                                                        {"mlp.gate_proj", "ffn_gate"},
                                                        {"mlp.up_proj", "ffn_up"},
                                                        {"mlp.down_proj", "ffn_down"}};
  for (const auto& [hf, gguf] : kNames) {
    if (const size_t at = name.find(hf); at != std::string::npos) name.replace(at, std::strlen(hf), gguf);
  }
  return name;
}

// Rows as llama.cpp's converter stores a q or k projection: within a head of size D, HF row p * D/2 + i goes to 2i + p.
inline std::vector<float> permute(const std::vector<float>& values, int heads, int64_t cols) {
  std::vector<float> out(values.size());
  const int64_t dim = static_cast<int64_t>(values.size()) / cols / heads;
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t r = 0; r < dim; ++r) {
      const int64_t to = h * dim + 2 * (r % (dim / 2)) + r / (dim / 2), from = h * dim + r;
      std::copy_n(values.begin() + from * cols, cols, out.begin() + to * cols);
    }
  }
  return out;
}

inline GgufBuilder tiny_gguf(const Config& c, const std::vector<NamedTensor>& tensors) {
  GgufBuilder g;
  g.string("general.architecture", "llama");
  g.string("general.name", "Tiny");
  g.u32("llama.block_count", static_cast<uint32_t>(c.layers));
  g.u32("llama.context_length", static_cast<uint32_t>(c.max_context));
  g.u32("llama.embedding_length", static_cast<uint32_t>(c.hidden_size));
  g.u32("llama.feed_forward_length", static_cast<uint32_t>(c.ffn_size));
  g.u32("llama.attention.head_count", static_cast<uint32_t>(c.heads));
  g.u32("llama.attention.head_count_kv", static_cast<uint32_t>(c.kv_heads));
  g.f32("llama.attention.layer_norm_rms_epsilon", static_cast<float>(c.rms_eps));
  g.f32("llama.rope.freq_base", static_cast<float>(c.rope_theta));
  g.u32("llama.rope.dimension_count", static_cast<uint32_t>(c.head_dim));
  g.u32("tokenizer.ggml.bos_token_id", 1);
  g.u32("tokenizer.ggml.eos_token_id", 2);
  for (const auto& [name, tensor] : tensors) {
    std::vector<float> values = to_f32(tensor);
    if (name.find("q_proj") != std::string::npos) values = permute(values, c.heads, tensor.cols());
    if (name.find("k_proj") != std::string::npos) values = permute(values, c.kv_heads, tensor.cols());
    g.tensor(gguf_name(name), tensor.shape, 0, f32_bytes(values));
  }
  return g;
}

}  // namespace retort::model::fixture
