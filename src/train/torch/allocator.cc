#include "train/torch/allocator.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include <malloc.h>
#include <sys/mman.h>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/Device.h>

namespace retort::train {
namespace {

constexpr size_t kHeader = 64;       // keeps the data on a cache line; holds the block's size
constexpr size_t kCached = 1 << 14;  // smaller blocks go to malloc, which keeps them itself
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kCacheLimit = size_t{2} << 30;

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    // Eight sizes between powers of two: at most an eighth is wasted.
    const size_t step = bytes < kCached ? 64 : std::bit_floor(bytes) / 8;
    const size_t size = (bytes + step - 1) / step * step;
    char* block = take(size);
    return {block + kHeader, block + kHeader, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }

  int64_t take_peak() {
    const std::lock_guard lock(mutex_);
    const int64_t peak = peak_;
    peak_ = alive_;
    return peak;
  }

  void drop_cache() {
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : free_)
      for (char* block : blocks) std::free(block);
    free_.clear();
    cached_ = 0;
  }

  static CountingAllocator& instance() {
    static auto* allocator = new CountingAllocator;  // outlives every tensor
    return *allocator;
  }

 private:
  static void release(void* data) {
    if (data != nullptr) instance().give_back(static_cast<char*>(data) - kHeader);
  }

  char* take(size_t size) {
    {
      const std::lock_guard lock(mutex_);
      alive_ += static_cast<int64_t>(size);
      peak_ = alive_ > peak_ ? alive_ : peak_;
      if (auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
        char* block = it->second.back();
        it->second.pop_back();
        cached_ -= size;
        return block;
      }
    }
    void* block = obtain(size + kHeader);
    if (block == nullptr) {
      drop_cache();
      block = obtain(size + kHeader);
    }
    if (block == nullptr) throw std::bad_alloc();
    *static_cast<size_t*>(block) = size;
    return static_cast<char*>(block);
  }

  // Large blocks ask for huge pages: the first touch of gigabytes by 4 KiB pages took longer than a training step.
  static void* obtain(size_t bytes) {
    void* block = nullptr;
    const bool huge = bytes >= 2 * kHugePage;
    if (posix_memalign(&block, huge ? kHugePage : kHeader, bytes) != 0) return nullptr;
    if (huge) madvise(block, bytes, MADV_HUGEPAGE);
    return block;
  }

  void give_back(char* block) {
    const size_t size = *reinterpret_cast<size_t*>(block);
    {
      const std::lock_guard lock(mutex_);
      alive_ -= static_cast<int64_t>(size);
      if (size >= kCached && cached_ + size <= kCacheLimit) {
        free_[size].push_back(block);
        cached_ += size;
        return;
      }
    }
    std::free(block);
  }

  std::mutex mutex_;
  std::unordered_map<size_t, std::vector<char*>> free_;
  size_t cached_ = 0;
  int64_t alive_ = 0, peak_ = 0;
};

}  // namespace

void install_allocator() {
  static const bool done = [] {
    c10::SetCPUAllocator(&CountingAllocator::instance(), 1);
    return true;
  }();
  (void)done;
}

int64_t take_peak_bytes() { return CountingAllocator::instance().take_peak(); }

void release_kept_blocks() {
  CountingAllocator::instance().drop_cache();
  malloc_trim(0);
}

}  // namespace retort::train
