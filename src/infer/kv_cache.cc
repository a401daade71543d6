#include "infer/kv_cache.h"

#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace retort::infer {

KvCache::KvCache(const kernels::KvShape& shape, int layers) : shape_(shape), layers_(layers) {}

int64_t KvCache::page_bytes(const kernels::KvShape& shape, int layers) {
  return shape.layer_floats() * layers * static_cast<int64_t>(sizeof(float));
}

Status KvCache::prepare(int first, int count) {
  const int begin = first / kernels::kPagePositions, end = (first + count - 1) / kernels::kPagePositions;
  RETORT_CHECK(begin <= pages());
  for (int page = begin; page <= end; ++page) {
    const bool fresh = page == pages();
    if (!fresh && pages_[static_cast<size_t>(page)].use_count() == 1) continue;
    const auto bytes = static_cast<size_t>(page_bytes(shape_, layers_));
    // calloc, because the lanes of positions not written yet are multiplied and must be numbers.
    auto* memory = static_cast<float*>(std::calloc(bytes, 1));
    if (memory == nullptr)
      return fail(Code::Limit, "no memory for {} bytes of KV cache; lower max_batch or max_context", bytes);
    std::shared_ptr<float[]> owned(memory, [](float* p) { std::free(p); });
    if (fresh) {
      pages_.push_back(std::move(owned));
    } else {
      std::memcpy(memory, pages_[static_cast<size_t>(page)].get(), bytes);
      pages_[static_cast<size_t>(page)] = std::move(owned);
    }
  }
  return {};
}

int KvCache::pages_to_make(int first, int count) const {
  const int end = (first + count - 1) / kernels::kPagePositions;
  int made = 0;
  for (int page = first / kernels::kPagePositions; page <= end; ++page)
    if (page >= pages() || pages_[static_cast<size_t>(page)].use_count() > 1) ++made;
  return made;
}

void KvCache::list_pages(std::unordered_set<const float*>& out) const {
  for (const auto& page : pages_) out.insert(page.get());
}

void KvCache::truncate(int positions) {
  const int keep = (positions + kernels::kPagePositions - 1) / kernels::kPagePositions;
  if (keep < pages()) pages_.resize(static_cast<size_t>(keep));
}

}  // namespace retort::infer
