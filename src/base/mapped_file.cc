#include "base/mapped_file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace retort {
namespace {

Error os_error(const std::string& path, int error_number) {
  const Code code = error_number == ENOENT || error_number == ENOTDIR ? Code::NotFound : Code::Io;
  return fail(code, "cannot map {}: {}", path, std::strerror(error_number));
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return os_error(path, errno);
  struct stat info{};
  if (::fstat(fd, &info) != 0) {
    const int error_number = errno;
    ::close(fd);
    return os_error(path, error_number);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail(Code::Invalid, "{} is {}; a file is needed here", path,
                S_ISDIR(info.st_mode) ? "a directory" : "not a regular file");
  }
  const size_t size = static_cast<size_t>(info.st_size);
  const void* data = "";
  if (size > 0) {
    void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
      const int error_number = errno;
      ::close(fd);
      return os_error(path, error_number);
    }
    data = mapped;
  }
  ::close(fd);  // the mapping keeps the file
  return std::shared_ptr<const MappedFile>(new MappedFile(path, static_cast<const char*>(data), size));
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace retort
