#include "record/parquet_lines.h"

#include <mutex>
#include <utility>

#include <dlfcn.h>

namespace retort {
namespace {

// The module's C interface; see record/parquet/module.cc.
struct Module {
  void* (*open)(const char* path, char* error, size_t error_size) = nullptr;
  int (*next)(void* reader, const char** line, size_t* size, char* error, size_t error_size) = nullptr;
  void (*close)(void* reader) = nullptr;
};

std::string folder_of(const void* address) {
  Dl_info info{};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

template <class F>
bool resolve(void* library, const char* name, F& out) {
  out = reinterpret_cast<F>(::dlsym(library, name));
  return out != nullptr;
}

Result<Module> load_module() {
  static const int anchor = 0;
  // Beside the program as built (bin/ and lib/retort/) and as installed (the same two).
  const std::string path = folder_of(&anchor) + "/../lib/retort/libretort_parquet.so";
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail(Code::NotFound,
                "Parquet needs the module {}, which cannot be opened ({}); build with pyarrow present, or convert the "
                "file to JSON Lines",
                path, ::dlerror());
  Module module;
  if (!resolve(library, "retort_parquet_open", module.open) || !resolve(library, "retort_parquet_next", module.next) ||
      !resolve(library, "retort_parquet_close", module.close))
    return fail(Code::Corrupt, "{} is not retort's Parquet module; install it again", path);
  return module;
}

Result<Module> parquet_module() {
  static std::mutex mutex;
  static Result<Module> module = fail(Code::NotFound, "not opened yet");
  const std::lock_guard lock(mutex);
  if (!module.ok()) module = load_module();
  return module;
}

class ParquetSource final : public Source<std::string> {
 public:
  ParquetSource(const Module& module, void* reader, std::string path)
      : module_(module), reader_(reader), path_(std::move(path)) {}
  ParquetSource(const ParquetSource&) = delete;
  ParquetSource& operator=(const ParquetSource&) = delete;
  ~ParquetSource() override { module_.close(reader_); }

  Result<std::optional<std::string>> next() override {
    const char* line = nullptr;
    size_t size = 0;
    char error[512] = "";
    const int got = module_.next(reader_, &line, &size, error, sizeof error);
    if (got < 0) return fail(Code::Corrupt, "{} row {}: {}", path_, number_ + 1, error);
    if (got == 0) return std::optional<std::string>();
    ++number_;
    if (size > kMaxLineBytes)
      return fail(Code::Invalid, "{} row {} is longer than {} bytes", path_, number_, kMaxLineBytes);
    return std::optional<std::string>(std::string(line, size));
  }

 private:
  Module module_;
  void* reader_;
  std::string path_;
  int64_t number_ = 0;
};

}  // namespace

Result<std::unique_ptr<Source<std::string>>> open_parquet_lines(const std::string& path) {
  if (!system_env().exists(path)) return fail(Code::NotFound, "cannot read {}: no such file", path);
  RETORT_ASSIGN(const Module module, parquet_module());
  char error[512] = "";
  void* reader = module.open(path.c_str(), error, sizeof error);
  if (reader == nullptr) return fail(Code::Corrupt, "cannot read {}: {}", path, error);
  return std::unique_ptr<Source<std::string>>(std::make_unique<ParquetSource>(module, reader, path));
}

}  // namespace retort
