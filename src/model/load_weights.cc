// Finds and reads the weights that MODEL names (model.h): which files, which names, which order of rows.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/env.h"
#include "base/text.h"
#include "model/gguf.h"
#include "model/model.h"
#include "model/safetensors.h"

namespace retort::model {

namespace {

namespace fs = std::filesystem;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_file(const fs::path& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec);
}

bool is_folder(const fs::path& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

// "org/name" from "models--org--name", "" from anything else.
std::string cache_name(const std::string& folder) {
  constexpr std::string_view kPrefix = "models--";
  if (folder.rfind(kPrefix, 0) != 0) return "";
  return replace_all(folder.substr(kPrefix.size()), "--", "/");
}

// The folder's own name, or the repository's where it is a snapshot in Hugging Face's cache.
std::string folder_name(const fs::path& folder) {
  std::error_code ec;
  fs::path whole = fs::absolute(folder, ec).lexically_normal();
  if (whole.filename().empty()) whole = whole.parent_path();
  if (whole.parent_path().filename() == "snapshots") {
    const std::string name = cache_name(whole.parent_path().parent_path().filename().string());
    if (!name.empty()) return name;
  }
  return whole.filename().string();
}

// What a folder holds, for an error: up to eight names.
std::string contents(const fs::path& folder) {
  const auto names = system_env().list_directory(folder.string());
  if (!names.ok() || names->empty()) return "it is empty";
  std::string text = "it holds ";
  for (size_t i = 0; i < names->size() && i < 8; ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", (*names)[i]);
  return names->size() > 8 ? text + fmt::format(" and {} more", names->size() - 8) : text;
}

Result<ModelPath> resolve_cache(const fs::path& folder) {
  const fs::path snapshots = folder / "snapshots";
  const std::string name = cache_name(folder.filename().string());
  const fs::path main = folder / "refs" / "main";
  std::string revision;
  if (is_file(main)) {
    RETORT_ASSIGN(const std::string text, read_file(system_env(), main.string(), kMaxSmallFile));
    revision = std::string(trim(text));
    if (revision.empty() || revision.find('/') != std::string::npos || revision == ".." ||
        !is_folder(snapshots / revision)) {
      return fail(Code::NotFound, "{} names the revision `{}`, but {} has no such folder; download the model again",
                  main.string(), to_utf8(revision.substr(0, 80)), snapshots.string());
    }
  } else {
    RETORT_ASSIGN(const auto revisions, system_env().list_directory(snapshots.string()));
    if (revisions.size() != 1) {
      return fail(Code::NotFound, "{} has {} snapshots and no refs/main; name one of the folders in {}",
                  folder.string(), revisions.size(), snapshots.string());
    }
    revision = revisions.front();
  }
  const fs::path chosen = snapshots / revision;
  if (!is_file(chosen / "config.json")) {
    return fail(Code::NotFound, "{} is no model: config.json is missing ({})", chosen.string(), contents(chosen));
  }
  return ModelPath{ModelPath::Kind::Directory, chosen.string(), name};
}

// Why a folder without config.json is no model.
Error no_model(const fs::path& folder) {
  std::string ggufs, caches;
  if (const auto names = system_env().list_directory(folder.string()); names.ok()) {
    for (const std::string& name : *names) {
      if (ends_with(name, ".gguf")) ggufs += (ggufs.empty() ? "" : ", ") + name;
      if (!cache_name(name).empty()) caches += (caches.empty() ? "" : ", ") + name;
    }
  }
  if (!ggufs.empty())
    return fail(Code::NotFound, "{} has no config.json; name the GGUF file itself: {}", folder.string(), ggufs);
  if (!caches.empty())
    return fail(Code::NotFound, "{} is a cache of models; name one of them: {}", folder.string(), caches);
  if (is_file(folder / "adapter_config.json")) {
    return fail(Code::Invalid, "{} is a LoRA adapter, not a model; name the merged model's folder", folder.string());
  }
  return fail(Code::NotFound, "{} is no model: config.json is missing ({})", folder.string(), contents(folder));
}

struct Loaded {
  std::vector<StoredTensor> tensors;                // by Hugging Face names
  std::vector<std::shared_ptr<const void>> owners;  // parallel to tensors
};

// Takes the tensors that `config` expects out of `loaded`, checking shapes; the rest become `unused`.
Status take_tensors(const Loaded& loaded, Weights& weights) {
  std::map<std::string_view, size_t> at;
  for (size_t i = 0; i < loaded.tensors.size(); ++i) {
    if (!at.emplace(loaded.tensors[i].name, i).second) {
      return fail(Code::Corrupt, "{}: tensor `{}` comes twice", weights.path, loaded.tensors[i].name);
    }
  }
  std::string missing;
  int missing_count = 0;
  // A lying layer count must not build a list larger than the file could fill.
  if (static_cast<size_t>(weights.config.layers) > loaded.tensors.size()) {
    return fail(Code::Corrupt, "{}: the config says {} layers, but there are only {} tensors", weights.path,
                weights.config.layers, loaded.tensors.size());
  }
  for (const ExpectedTensor& expected : expected_tensors(weights.config)) {
    const auto it = at.find(expected.name);
    if (it == at.end()) {
      if (++missing_count <= 3) missing += (missing.empty() ? "`" : ", `") + expected.name + "`";
      continue;
    }
    const StoredTensor& stored = loaded.tensors[it->second];
    if (stored.shape != expected.shape) {
      return fail(Code::Corrupt, "{}: tensor `{}` has shape {}, but the config asks for {}", weights.path,
                  expected.name, shape_text(stored.shape), shape_text(expected.shape));
    }
    auto tensor = as_tensor(stored, loaded.owners[it->second]);
    if (!tensor.ok()) return within(weights.path, std::move(tensor).error());
    weights.tensors.emplace(expected.name, std::move(*tensor));
    at.erase(it);
  }
  if (missing_count > 0) {
    return fail(Code::Corrupt, "{}: {} tensor{} missing: {}{}", weights.path, missing_count,
                missing_count == 1 ? " is" : "s are", missing,
                missing_count > 3 ? fmt::format(" and {} more", missing_count - 3) : "");
  }
  for (const auto& [name, index] : at) {
    if (ends_with(name, ".bias")) {
      return fail(Code::Invalid, "{}: tensor `{}` is a bias, which is not supported", weights.path, name);
    }
    weights.unused.emplace_back(name);
  }
  return {};
}

Result<Json> read_json(const fs::path& path) {
  RETORT_ASSIGN(const std::string text, read_file(system_env(), path.string(), kMaxSmallFile));
  auto json = parse_json(text);
  if (!json.ok()) return within(path.string(), std::move(json).error());
  return json;
}

Result<Weights> load_directory(const ModelPath& source) {
  const fs::path folder = source.path;
  Weights weights;
  weights.path = source.path;
  weights.name = to_utf8(source.name);
  weights.format = "huggingface";
  RETORT_ASSIGN(const Json json, read_json(folder / "config.json"));
  auto config = parse_config(json);
  if (!config.ok()) return within((folder / "config.json").string(), std::move(config).error());
  weights.config = std::move(*config);
  if (is_file(folder / "generation_config.json")) {
    RETORT_ASSIGN(const Json generation, read_json(folder / "generation_config.json"));
    if (auto status = parse_generation_config(generation, weights.config, weights.generation); !status.ok()) {
      return within((folder / "generation_config.json").string(), std::move(status).error());
    }
  }

  std::vector<Safetensors> shards;
  if (is_file(folder / "model.safetensors")) {
    RETORT_ASSIGN(Safetensors single, read_safetensors((folder / "model.safetensors").string()));
    shards.push_back(std::move(single));
  } else if (is_file(folder / "model.safetensors.index.json")) {
    RETORT_ASSIGN(shards, read_safetensors_index((folder / "model.safetensors.index.json").string()));
  } else if (is_file(folder / "pytorch_model.bin") || is_file(folder / "pytorch_model.bin.index.json")) {
    return fail(Code::Invalid,
                "{} has only pytorch_model.bin, a pickle, which can run code; convert it to safetensors "
                "(transformers: from_pretrained, then save_pretrained)",
                source.path);
  } else {
    return fail(Code::NotFound,
                "{} has no weights: neither model.safetensors nor model.safetensors.index.json is there ({})",
                source.path, contents(folder));
  }
  Loaded loaded;
  for (Safetensors& shard : shards) {
    for (StoredTensor& tensor : shard.tensors) {
      loaded.tensors.push_back(std::move(tensor));
      loaded.owners.push_back(shard.file);
    }
  }
  RETORT_TRY(take_tensors(loaded, weights));
  for (const Safetensors& shard : shards) weights.files.push_back(shard.file);
  RETORT_TRY(weights.whole());
  return weights;
}

// The Hugging Face name of a llama.cpp tensor name, "" where there is none (gguf-py/gguf/tensor_mapping.py).
std::string hugging_face_name(std::string_view name) {
  if (name == "token_embd.weight") return "model.embed_tokens.weight";
  if (name == "output_norm.weight") return "model.norm.weight";
  if (name == "output.weight") return "lm_head.weight";
  constexpr std::pair<std::string_view, std::string_view> kParts[] = {
      {"attn_norm.weight", "input_layernorm.weight"},    {"attn_q.weight", "self_attn.q_proj.weight"},
      {"attn_k.weight", "self_attn.k_proj.weight"},      {"attn_v.weight", "self_attn.v_proj.weight"},
      {"attn_output.weight", "self_attn.o_proj.weight"}, {"ffn_norm.weight", "post_attention_layernorm.weight"},
      {"ffn_gate.weight", "mlp.gate_proj.weight"},       {"ffn_up.weight", "mlp.up_proj.weight"},
      {"ffn_down.weight", "mlp.down_proj.weight"},
  };
  if (name.substr(0, 4) != "blk.") return "";
  const size_t dot = name.find('.', 4);
  if (dot == std::string_view::npos) return "";
  for (const auto& [gguf, hf] : kParts) {
    if (name.substr(dot + 1) == gguf) return fmt::format("model.layers.{}.{}", name.substr(4, dot - 4), hf);
  }
  return "";
}

// Puts the rows of a q or k projection back into Hugging Face's order (see model.h): within a head, row p * D/2 + i
// comes from row 2 * i + p. Rows move whole, so quantised ones keep their bits.
Tensor unpermute(const Tensor& tensor, int heads) {
  const int64_t row = tensor.row_bytes(), dim = tensor.rows() / heads, half = dim / 2;
  auto bytes = std::make_shared<std::string>(tensor.bytes.size(), '\0');
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t p = 0; p < 2; ++p) {
      for (int64_t i = 0; i < half; ++i) {
        std::memcpy(bytes->data() + (h * dim + p * half + i) * row, tensor.row(h * dim + 2 * i + p),
                    static_cast<size_t>(row));
      }
    }
  }
  Tensor out{tensor.dtype, tensor.shape, *bytes, nullptr};
  out.owner = std::move(bytes);
  return out;
}

Result<Weights> load_gguf(const ModelPath& source) {
  RETORT_ASSIGN(Gguf gguf, read_gguf(source.path));
  Weights weights;
  weights.path = source.path;
  weights.format = "gguf";
  weights.name = to_utf8(source.name);

  Loaded loaded;
  bool tied = true;
  int64_t vocab_rows = 0;
  for (StoredTensor& tensor : gguf.tensors) {
    if (tensor.name == "token_embd.weight" && tensor.shape.size() == 2) vocab_rows = tensor.shape[0];
    if (tensor.name == "output.weight") tied = false;
    if (tensor.name == "rope_freqs.weight") {
      return fail(Code::Invalid,
                  "{}: tensor `rope_freqs.weight` means rope_scaling type llama3, which is not supported", source.path);
    }
    if (std::string hf = hugging_face_name(tensor.name); !hf.empty()) tensor.name = std::move(hf);
    loaded.tensors.push_back(std::move(tensor));
    loaded.owners.push_back(gguf.file);
  }
  auto config = parse_config(gguf.metadata, tied, vocab_rows);
  if (!config.ok()) return within(source.path, std::move(config).error());
  weights.config = std::move(*config);
  RETORT_TRY(take_tensors(loaded, weights));
  weights.files.push_back(gguf.file);
  for (auto& [tensor_name, tensor] : weights.tensors) {
    if (ends_with(tensor_name, "self_attn.q_proj.weight")) tensor = unpermute(tensor, weights.config.heads);
    if (ends_with(tensor_name, "self_attn.k_proj.weight")) tensor = unpermute(tensor, weights.config.kv_heads);
  }
  RETORT_TRY(weights.whole());
  return weights;
}

}  // namespace

Result<ModelPath> resolve_model(const std::string& path) {
  const fs::path given = path;
  if (path.empty()) return fail(Code::Invalid, "the model's path is empty");
  std::error_code ec;
  if (!fs::exists(given, ec)) {
    return fail(Code::NotFound,
                "{}: no such file or folder. A model is a Hugging Face folder, a .gguf file, or a folder of Hugging "
                "Face's cache (models--org--name); retort never downloads one",
                path);
  }
  if (is_file(given)) {
    if (ends_with(path, ".safetensors") || given.filename() == "config.json" || given.filename() == "tokenizer.json") {
      return fail(Code::Invalid, "{} is a part of a model; name its folder", path);
    }
    if (ends_with(path, ".bin") || ends_with(path, ".pt") || ends_with(path, ".pth")) {
      return fail(Code::Invalid, "{} is a pickle, which can run code; convert it to safetensors", path);
    }
    return ModelPath{ModelPath::Kind::Gguf, path, given.stem().string()};
  }
  if (!is_folder(given)) return fail(Code::Invalid, "{} is neither a file nor a folder", path);
  if (is_file(given / "config.json")) return ModelPath{ModelPath::Kind::Directory, path, folder_name(given)};
  if (is_folder(given / "snapshots")) return resolve_cache(given.filename().empty() ? given.parent_path() : given);
  return no_model(given);
}

Result<Weights> load_weights(const std::string& path) {
  RETORT_ASSIGN(const ModelPath source, resolve_model(path));
  return source.kind == ModelPath::Kind::Gguf ? load_gguf(source) : load_directory(source);
}

}  // namespace retort::model
