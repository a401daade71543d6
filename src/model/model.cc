#include "model/model.h"

#include "base/check.h"
#include "base/hash.h"
#include "model/tokenizer_load.h"

namespace retort::model {

const Tensor& Weights::tensor(std::string_view tensor_name) const {
  const auto it = tensors.find(tensor_name);
  RETORT_CHECK(it != tensors.end());
  return it->second;
}

const Tensor& Weights::lm_head() const {
  return tensor(config.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
}

const std::string& Weights::content_hash() const {
  RETORT_CHECK(hash != nullptr);
  std::call_once(hash->once, [this] {
    Config sizes = config;
    sizes.bos_id = sizes.pad_id = std::nullopt;
    sizes.eos_ids.clear();
    Sha256 sha;
    sha.update(to_text(config_json(sizes, DType::F32)));
    for (const auto& [tensor_name, t] : tensors) {  // the map sorts by name
      sha.update(fmt::format("\n{} {} {}\n", tensor_name, dtype_name(t.dtype), shape_text(t.shape)));
      sha.update(t.bytes);
    }
    hash->hex = sha.finish();
  });
  return hash->hex;
}

Result<const ChatTemplate*> need_chat_template(const Model& model) {
  if (model.chat_template) return &*model.chat_template;
  return fail(Code::Invalid, "{}: {}", model.path, model.chat_template_error);
}

Result<Model> load_model(const std::string& path) {
  RETORT_ASSIGN(Weights weights, load_weights(path));
  RETORT_ASSIGN(TextParts text, load_text(weights.path, system_env()));
  if (text.tokenizer.vocab_size() > weights.config.vocab_size) {
    return fail(Code::Corrupt,
                "{}: the tokenizer has {} tokens, but the embedding only {} rows; they do not belong together",
                weights.path, text.tokenizer.vocab_size(), weights.config.vocab_size);
  }
  Config& config = weights.config;
  if (!config.bos_id && text.tokenizer.bos_id() >= 0) config.bos_id = text.tokenizer.bos_id();
  if (config.eos_ids.empty() && text.tokenizer.eos_id() >= 0) config.eos_ids.push_back(text.tokenizer.eos_id());
  Model model{std::move(weights), std::move(text.tokenizer), std::nullopt, std::move(text.chat_template), ""};
  if (model.chat_template_source.empty()) {
    model.chat_template_error =
        fmt::format("the model has no chat template; {}",
                    model.format == "gguf" ? "the GGUF lacks the key `tokenizer.chat_template`"
                                           : "add chat_template.jinja to its folder, or use raw prompts");
  } else {
    auto parsed = ChatTemplate::parse(model.chat_template_source);
    if (parsed.ok())
      model.chat_template = std::move(*parsed);
    else
      model.chat_template_error = "the chat template cannot be used: " + parsed.error().message;
  }
  return model;
}

}  // namespace retort::model
