// Writes models as the ecosystem reads them: a Hugging Face directory (config.json, model.safetensors, tokenizer.json,
// tokenizer_config.json, chat_template.jinja, generation_config.json) that transformers loads as LlamaForCausalLM, and
// PEFT adapters. A folder appears whole or not at all. Equal input, equal bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/result.h"
#include "model/config.h"
#include "model/tensor.h"

namespace retort::model {

struct Model;
class Tokenizer;

// The files beside the weights that make text of ids.
struct TextFiles {
  std::string tokenizer_json;    // text of tokenizer.json
  std::string tokenizer_config;  // text of tokenizer_config.json
  std::string chat_template;     // text of chat_template.jinja, "" where there is none
};
// Of a loaded model: copied from its directory, or reconstructed from a GGUF's metadata.
Result<TextFiles> text_files(const Model& model);
// Of a tokenizer that was just trained; `chat_template` may be "".
TextFiles text_files(const Tokenizer& tokenizer, const std::string& chat_template);

// A LoRA adapter: for each adapted matrix W [out, in] the factors A [rank, in] and B [out, rank] with
// W' = W + alpha / rank * B A.
struct PeftAdapter {
  std::string base_model;  // base_model_name_or_path
  int rank = 0;
  double alpha = 0;
  double dropout = 0;
  struct Pair {
    std::string module;  // "model.layers.0.self_attn.q_proj"
    Tensor a, b;
  };
  std::vector<Pair> pairs;
};
struct HfDirectory {
  Config config;
  GenerationDefaults generation;
  std::vector<NamedTensor> tensors;  // by Hugging Face names, any DType; checked against expected_tensors(config)
  TextFiles text;
  DType dtype = DType::F32;                                      // F32 or BF16: how weights are stored
  int64_t max_shard_bytes = 5'000'000'000;                       // above it: shards and model.safetensors.index.json
  std::vector<std::pair<std::string, std::string>> extra_files;  // name, bytes: README.md, provenance.json, ...
  // The mappings that tensors lie in (Weights::files), asked whether they are whole before the directory appears.
  std::vector<std::shared_ptr<const MappedFile>> files;
  std::optional<PeftAdapter> adapter;  // in adapter/, there as soon as the model is
};

// Writes `directory`, which must not exist or be empty, unless `replace` and it is one that retort wrote (it bears a
// mark that lists all that lies there): then the two change places in one step and the old one is removed. Errors:
// Invalid, Io (nothing is left behind under `directory`).
Status write_hf_directory(const std::string& directory, const HfDirectory& content, bool replace, Env& env);

// Whether a model may be written there, for those who would rather know before hours of work.
Status check_replaceable(const std::string& directory, bool replace, Env& env);

// adapter_config.json and adapter_model.safetensors (F32), as peft's PeftModel.from_pretrained reads them. `directory`
// as above.
Status write_peft_adapter(const std::string& directory, const PeftAdapter& adapter, bool replace, Env& env);

}  // namespace retort::model
