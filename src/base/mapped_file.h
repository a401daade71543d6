// A file mapped read-only: weights are used where they lie, and pages that nobody touches cost nothing.
// Caveat, as for every mapping: if another process truncates or overwrites the file in place while it is mapped,
// reading past the new end raises SIGBUS. retort itself replaces files only by renaming, which leaves a mapping whole.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace retort {

class MappedFile {
 public:
  // Maps the whole of a regular file; an empty file gives empty bytes. Errors: NotFound, Invalid (a directory or a
  // device), Io.
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Starts on a page boundary; valid as long as this object. Any thread.
  std::string_view bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const char* data, size_t size) : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  const char* data_;
  size_t size_;
};

}  // namespace retort
