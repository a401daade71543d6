// Puts a Model together: weights (load_weights.cc), tokenizer and template (tokenizer_load.h), held against each other.
#include "base/env.h"
#include "model/model.h"
#include "model/tokenizer_load.h"

namespace retort::model {

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
