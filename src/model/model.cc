#include "model/model.h"

#include <algorithm>

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

Status Weights::whole() const {
  for (const auto& file : files) RETORT_TRY(file->whole());
  return {};
}

Status check_weights(const Weights& weights, TaskPool& pool) {
  constexpr int64_t kRows = 64;  // of a task
  for (const auto& [name, tensor] : weights.tensors) {
    const int64_t rows = tensor.rows();
    std::vector<int64_t> places(static_cast<size_t>((rows + kRows - 1) / kRows), -1);
    pool.run(static_cast<int>(places.size()), [&, &t = tensor](int task) {
      for (int64_t row = task * kRows; row < std::min(rows, (task + 1) * kRows); ++row) {
        if (const int64_t column = first_not_finite(t, row); column >= 0) {
          places[static_cast<size_t>(task)] = row * t.cols() + column;
          return;
        }
      }
    });
    RETORT_TRY(weights.whole());
    for (const int64_t place : places) {
      if (place < 0) continue;
      return fail(Code::Corrupt,
                  "{}: tensor `{}` {} holds a weight that is NaN or infinite, at [{}, {}]; the file is broken, or the "
                  "training that wrote it had diverged",
                  weights.path, name, shape_text(tensor.shape), place / tensor.cols(), place % tensor.cols());
    }
  }
  return {};
}

Result<const ChatTemplate*> need_chat_template(const Model& model) {
  if (model.chat_template) return &*model.chat_template;
  return fail(Code::Invalid, "{}: {}", model.path, model.chat_template_error);
}

}  // namespace retort::model
