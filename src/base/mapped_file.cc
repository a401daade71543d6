#include "base/mapped_file.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"

namespace retort {

// Never freed, used again once `begin` is 0: the handler walks the list at any moment.
struct MappedFile::Range {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> damaged{false};
  Range* next = nullptr;

  static inline std::atomic<Range*> all{nullptr};
  static inline struct sigaction before{};

  static void on_bus_error(int signal, siginfo_t* info, void* context) {
    const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
    for (Range* r = all.load(); r != nullptr; r = r->next) {
      if (at < r->begin.load() || at >= r->end.load()) continue;
      const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
      void* const start = reinterpret_cast<void*>(at / page * page);
      r->damaged.store(true);
      if (::mmap(start, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) return;
    }
    if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr)
      return before.sa_sigaction(signal, info, context);
    ::signal(SIGBUS, SIG_DFL);  // the access is tried again and ends the process
  }
};

MappedFile::Range* MappedFile::watch(const char* data, size_t size) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (Range::all.load() == nullptr) {
    struct sigaction action{};
    action.sa_sigaction = Range::on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &Range::before);
  }
  Range* range = Range::all.load();
  while (range != nullptr && range->begin.load() != 0) range = range->next;
  if (range == nullptr) {
    range = new Range;
    range->next = Range::all.load();
    Range::all.store(range);
  }
  range->damaged.store(false);
  range->end.store(reinterpret_cast<uintptr_t>(data) + size);
  range->begin.store(reinterpret_cast<uintptr_t>(data));
  return range;
}

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  int64_t bytes = 0;
  RETORT_ASSIGN(const int fd, open_regular(path, bytes));
  const size_t size = static_cast<size_t>(bytes);
  const char* data = "";
  Range* range = nullptr;
  if (size > 0) {
    void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
      const int error_number = errno;
      ::close(fd);
      return fail(Code::Io, "cannot map {}: {}", path, std::strerror(error_number));
    }
    data = static_cast<const char*>(mapped);
    range = watch(data, size);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, fd, data, size, range));
}

Status MappedFile::whole() const {
  struct stat info{};
  const bool same = ::fstat(fd_, &info) == 0 && static_cast<size_t>(info.st_size) >= size_;
  if (same && (range_ == nullptr || !range_->damaged.load())) return {};
  return fail(Code::Corrupt, "{} was cut short while it was read: it had {} bytes{}; write it again and start over",
              path_, size_, same ? "" : fmt::format(" and has {}", static_cast<int64_t>(info.st_size)));
}

MappedFile::~MappedFile() {
  if (size_ > 0) {
    range_->begin.store(0);
    range_->end.store(0);
    ::munmap(const_cast<char*>(data_), size_);
  }
  ::close(fd_);
}

}  // namespace retort
