// KvCache: keys and values of one sequence, in pages of kernels::kPagePositions positions over all layers. Copies share
// their pages until one of them writes (the choices of a request share its prompt). Memory is committed as positions
// are written, not as pages are made. One thread at a time for all copies of a cache.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "kernels/attention.h"

namespace retort::infer {

class KvCache {
 public:
  KvCache(const kernels::KvShape& shape, int layers);

  // Makes positions [first, first + count) writable: adds pages, and copies those that another cache shares. Positions
  // before `first` keep their values. Limit where memory is short.
  Status prepare(int first, int count);
  // How many pages prepare(first, count) would allocate.
  int pages_to_make(int first, int count) const;
  // Drops pages past the first `positions`.
  void truncate(int positions);

  // One layer's part of a page (kernels/attention.h).
  float* layer(int page, int layer) { return pages_[static_cast<size_t>(page)].get() + layer * shape_.layer_floats(); }
  int pages() const { return static_cast<int>(pages_.size()); }
  // Adds this cache's pages to `out`, in which a page that several caches share is one.
  void list_pages(std::unordered_set<const float*>& out) const;
  const kernels::KvShape& shape() const { return shape_; }
  static int64_t page_bytes(const kernels::KvShape& shape, int layers);

 private:
  kernels::KvShape shape_;
  int layers_;
  std::vector<std::shared_ptr<float[]>> pages_;
};

}  // namespace retort::infer
