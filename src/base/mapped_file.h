// A file mapped read-only: weights are used where they lie, and pages that nobody touches cost nothing.
// If another process cuts the file short while it is mapped, the bytes behind its new end read as zeros (a handler of
// SIGBUS puts an empty page there instead of ending the process) and whole() says so: ask it after the bytes were used,
// before what was made of them counts. A file overwritten in place with its size kept is not noticed. retort itself
// replaces files only by renaming, which leaves a mapping whole.
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
  // device), Io. The first call makes the process's handler of SIGBUS, which passes on what is not of a mapping here.
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Starts on a page boundary; valid as long as this object. Any thread.
  std::string_view bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Corrupt where the file was cut short (or a page of it could not be read) since it was opened. One system call.
  Status whole() const;

 private:
  struct Range;  // what the handler knows of a mapping
  MappedFile(std::string path, int fd, const char* data, size_t size, Range* range)
      : path_(std::move(path)), fd_(fd), data_(data), size_(size), range_(range) {}
  static Range* watch(const char* data, size_t size);
  std::string path_;
  int fd_;
  const char* data_;
  size_t size_;
  Range* range_;
};

}  // namespace retort
