#include "train/backend.h"

#include <cstdlib>

#include "base/open_module.h"

namespace retort::train {
namespace {

struct Library {
  Backend* (*open)(BackendSpec*, Error*) = nullptr;
};

Result<Library> open_library() {
  auto module = open_module("train");
  if (!module.ok()) return within("this program cannot train", std::move(module).error());
  Library library;
  RETORT_TRY(module->find("retort_train_open", library.open));
  return library;
}

}  // namespace

Result<std::unique_ptr<Backend>> open_backend(BackendSpec spec) {
  RETORT_TRY(check(spec.shape));
  RETORT_TRY(check(spec.lora));
  const int64_t size = model_layout(spec.shape).size;
  if (static_cast<int64_t>(spec.weights.size()) != size)
    return fail(Code::Invalid, "{} weights were given for a model of {}", spec.weights.size(), size);
  static const Result<Library> library = open_library();
  if (!library.ok()) return Error(library.error());
  Error error;
  Backend* backend = library->open(&spec, &error);
  if (backend == nullptr) return error;
  return std::unique_ptr<Backend>(backend);
}

}  // namespace retort::train
