#include "train/backend.h"

#include <dlfcn.h>
#include <cstdlib>

#include <filesystem>

namespace retort::train {
namespace {

struct Library {
  Backend* (*open)(BackendSpec*, Error*) = nullptr;
};

// The library beside the program: <folder of the executable>/../lib/retort/libretort_train.so.
Result<Library> open_library() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return fail(Code::Io, "/proc/self/exe cannot be read ({}); mount /proc", error.message());
  const auto path = program.parent_path().parent_path() / "lib" / "retort" / "libretort_train.so";
  if (!std::filesystem::exists(path, error))
    return fail(Code::NotFound,
                "this build of retort cannot train: {} is missing; build with -DRETORT_TORCH=ON (./dev build) or "
                "install that file",
                path.string());
  // libgomp reads this when it is loaded. Its default (about 300,000 turns at a barrier) is made for machines of one's
  // own: with other programs on the cores, two threads ran at 950 tokens/s where these turns give 6,700.
  setenv("GOMP_SPINCOUNT", "10000", 0);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail(Code::NotFound,
                "the trainer does not open: {}; install libtorch beside it (./dev setup, then ./dev build)", dlerror());
  void* symbol = dlsym(library, "retort_train_open");
  if (symbol == nullptr)
    return fail(Code::Corrupt, "{} has no retort_train_open; rebuild it together with the program", path.string());
  return Library{reinterpret_cast<Backend* (*)(BackendSpec*, Error*)>(symbol)};
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
