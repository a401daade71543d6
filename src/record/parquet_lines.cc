#include "record/parquet_lines.h"

#include <mutex>
#include <utility>

#include "base/open_module.h"

namespace retort {
namespace {

// The module's C interface; see record/parquet/module.cc.
struct Arrow {
  void* (*open)(const char* path, char* error, size_t error_size) = nullptr;
  int (*next)(void* reader, const char** line, size_t* size, char* error, size_t error_size) = nullptr;
  void (*close)(void* reader) = nullptr;
};

Result<Arrow> load_module() {
  auto module = open_module("parquet");
  if (!module.ok())
    return within("Parquet cannot be read, convert the file to JSON Lines or give its module",
                  std::move(module).error());
  Arrow arrow;
  RETORT_TRY(module->find("retort_parquet_open", arrow.open));
  RETORT_TRY(module->find("retort_parquet_next", arrow.next));
  RETORT_TRY(module->find("retort_parquet_close", arrow.close));
  return arrow;
}

Result<Arrow> parquet_module() {
  static std::mutex mutex;
  static Result<Arrow> module = fail(Code::NotFound, "not opened yet");
  const std::lock_guard lock(mutex);
  if (!module.ok()) module = load_module();
  return module;
}

class ParquetSource final : public Source<std::string> {
 public:
  ParquetSource(const Arrow& module, void* reader, std::string path)
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
  Arrow module_;
  void* reader_;
  std::string path_;
  int64_t number_ = 0;
};

}  // namespace

Result<std::unique_ptr<Source<std::string>>> open_parquet_lines(const std::string& path) {
  if (!system_env().exists(path)) return fail(Code::NotFound, "cannot read {}: no such file", path);
  RETORT_ASSIGN(const Arrow module, parquet_module());
  char error[512] = "";
  void* reader = module.open(path.c_str(), error, sizeof error);
  if (reader == nullptr) return fail(Code::Corrupt, "cannot read {}: {}", path, error);
  return std::unique_ptr<Source<std::string>>(std::make_unique<ParquetSource>(module, reader, path));
}

}  // namespace retort
