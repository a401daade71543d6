// A model ready to be run or trained: shape, weights by their Hugging Face names, tokenizer, chat template.
// load_model() reads whatever MODEL names: a Hugging Face directory, a GGUF file, or a folder of the Hugging Face
// cache. Nothing is ever downloaded.
//
// Convention: q_proj and k_proj rows are in Hugging Face's order: within a head of dimension D, RoPE rotates row i with
// row i + D/2 (i < D/2) by the angle position * theta^(-2i/D). GGUF stores those rows interleaved (2i with 2i + 1);
// they are put back without touching their quantised bytes, in copies that the model owns. All else stays in the
// mapping.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "base/task_pool.h"
#include "model/chat_template.h"
#include "model/config.h"
#include "model/tensor.h"
#include "model/tokenizer.h"

namespace retort::model {

// The part of a model that needs no text: what training from a base or `inspect` asks for.
struct Weights {
  std::string path;  // what was read: the directory or the GGUF file
  // "org/name" of a cache folder, else the file's name without .gguf or the folder's: what the user typed, not what a
  // file from elsewhere says of itself.
  std::string name;
  std::string format;  // "huggingface" or "gguf"
  Config config;
  GenerationDefaults generation;
  // Every tensor of expected_tensors(config), of the expected shape, by Hugging Face name. Read-only from any thread.
  std::map<std::string, Tensor, std::less<>> tensors;
  // Names in the file that the model does not use.
  std::vector<std::string> unused;
  // The files whose mappings the tensors lie in.
  std::vector<std::shared_ptr<const MappedFile>> files;

  // Corrupt where one of `files` was cut short since: what was read of it may be zeros (base/mapped_file.h). Ask after
  // the tensors were used. A system call for each file.
  Status whole() const;

  // Precondition: `tensor_name` is one of expected_tensors(config).
  const Tensor& tensor(std::string_view tensor_name) const;
  // [vocab, d]; model.embed_tokens.weight where embeddings are tied.
  const Tensor& lm_head() const;

  // SHA-256 over the config's sizes and the tensors (names, types, shapes, bytes); the same for equal weights wherever
  // they lie, whatever their token ids and name. Reads
  // all of them on the first call, then remembers; any thread.
  const std::string& content_hash() const;

  struct Hash {
    std::once_flag once;
    std::string hex;
  };
  std::shared_ptr<Hash> hash = std::make_shared<Hash>();  // content_hash()'s memory
};

struct Model : Weights {
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::string chat_template_source;  // the template's text, "" where there is none
  std::string chat_template_error;   // why chat_template is absent, with the next action; "" where it is present
};

// The chat template, or an Invalid that says what is missing and what to do.
Result<const ChatTemplate*> need_chat_template(const Model& model);

// Errors: NotFound (nothing there, a directory without weights: says what was looked for), Invalid (a kind that is not
// supported, by name), Corrupt (the files contradict themselves or the config), Io.
Result<Model> load_model(const std::string& path);
Result<Weights> load_weights(const std::string& path);

// Corrupt where a weight is NaN or infinite, naming the tensor and its place, or where whole() says so. Reads all of
// them.
Status check_weights(const Weights& weights, TaskPool& pool);

// What MODEL names, without reading weights.
struct ModelPath {
  enum class Kind { Directory, Gguf } kind = Kind::Directory;
  std::string path;  // the directory with config.json, or the GGUF file
  std::string name;
};
// Follows Hugging Face cache folders (models--org--name with snapshots/ and refs/main) to their snapshot.
Result<ModelPath> resolve_model(const std::string& path);

}  // namespace retort::model
