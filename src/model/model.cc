#include "model/model.h"

#include "base/check.h"
#include "base/hash.h"

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

}  // namespace retort::model
