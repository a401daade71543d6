// Finds the text parts of a model on disk: its tokenizer and its chat template. A model is a Hugging Face folder, a
// GGUF file, or a bare tokenizer.json. GGUF's pre-tokenizer names are a table in tokenizer_gguf.cc.
#pragma once

#include <string>

#include "base/env.h"
#include "base/result.h"
#include "model/tokenizer.h"

namespace retort::model {

// The tokenizer's keys of GGUF metadata (`tokenizer.ggml.*`).
struct GgufVocabulary {
  std::string model;                 // "gpt2" is byte-level BPE
  std::string pre;                   // the pre-tokenizer's name: "smollm", "gpt-2", "llama-bpe", "qwen2", ...
  std::vector<std::string> tokens;   // by id
  std::vector<int32_t> token_types;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; may be empty
  std::vector<std::string> merges;   // "left right", by rank
  int32_t bos_id = -1, eos_id = -1;
  bool add_bos = false, add_eos = false;
};
// Errors: Invalid for a vocabulary that is not byte-level BPE or a pre-tokenizer that is not in the table (both named).
Result<Tokenizer> tokenizer_from_gguf(GgufVocabulary vocabulary);

struct TextParts {
  Tokenizer tokenizer;
  std::string chat_template;  // Jinja source; "" where the model has none
};
// `path`: a folder with tokenizer.json (and tokenizer_config.json, chat_template.jinja), a GGUF, or a tokenizer.json.
Result<TextParts> load_text(const std::string& path, Env& env);
// Only the template, "" where the model has none; reads no vocabulary.
Result<std::string> load_chat_template(const std::string& path, Env& env);

}  // namespace retort::model
