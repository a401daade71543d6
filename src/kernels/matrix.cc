#include "kernels/matrix.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace retort::kernels {
namespace {

constexpr size_t kAlignment = 64;
// Bytes of activations that one task keeps at hand: half of a small L2.
constexpr int64_t kRowsBytes = 192 << 10;
// Panels that a 16-bit matrix unpacks at a time: what one pass of gemm() takes for a single row.
constexpr int kUnpackPanels = 8;

int64_t panel_size(MatrixKind kind, int64_t k) {
  switch (kind) {
    case MatrixKind::F32: return k * kLanes * 4;
    case MatrixKind::F16:
    case MatrixKind::BF16: return k * kLanes * 2;
    default: return k / kBlock * kPanelBlockBytes;
  }
}

// Rows [first, first + kLanes) of a matrix of `Value`s, transposed into one panel.
template <class Value>
void fill_panels(int rows, int k, uint8_t* data, int64_t panel_bytes, const std::function<void(int, Value*)>& fill,
                 TaskPool& pool) {
  pool.run((rows + kLanes - 1) / kLanes, [&](int panel) {
    std::vector<Value> row(static_cast<size_t>(k));
    Value* out = reinterpret_cast<Value*>(data + panel * panel_bytes);
    for (int lane = 0; lane < kLanes && panel * kLanes + lane < rows; ++lane) {
      fill(panel * kLanes + lane, row.data());
      for (int i = 0; i < k; ++i) out[static_cast<int64_t>(i) * kLanes + lane] = row[static_cast<size_t>(i)];
    }
  });
}

void run_floats(const Matrix& w, int first_panel, int panels, const float* x, int64_t ldx, int m, float* y,
                int64_t ldy) {
  const Isa& kernels = isa();
  const int column = first_panel * kLanes, columns = std::min(panels * kLanes, w.rows() - column);
  const ptrdiff_t panel_floats = static_cast<ptrdiff_t>(w.k()) * kLanes;
  if (w.kind() == MatrixKind::F32) {
    const Panels b{reinterpret_cast<const float*>(w.data()) + first_panel * panel_floats, kLanes, panel_floats};
    return kernels.gemm(x, ldx, m, w.k(), b, columns, y + column, ldy, false);
  }
  thread_local std::vector<float> unpacked;
  unpacked.resize(static_cast<size_t>(kUnpackPanels * panel_floats));
  const auto* bits = reinterpret_cast<const uint16_t*>(w.data());
  for (int done = 0; done < panels; done += kUnpackPanels) {
    const int now = std::min(kUnpackPanels, panels - done);
    const auto unpack = w.kind() == MatrixKind::F16 ? kernels.unpack_f16 : kernels.unpack_bf16;
    unpack(bits + (first_panel + done) * panel_floats, now * panel_floats, unpacked.data());
    kernels.gemm(x, ldx, m, w.k(), {unpacked.data(), kLanes, panel_floats},
                 std::min(now * kLanes, columns - done * kLanes), y + column + done * kLanes, ldy, false);
  }
}

}  // namespace

void Matrix::Free::operator()(uint8_t* p) const { std::free(p); }

Matrix::Matrix(MatrixKind kind, int rows, int k) : kind_(kind), rows_(rows), k_(k) {
  bytes_ = (rows + kLanes - 1) / kLanes * panel_size(kind, k);
  const size_t size = (static_cast<size_t>(bytes_) + kAlignment) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, size);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, size);  // rows past the last, too, are read: they must be finite
  data_.reset(static_cast<uint8_t*>(memory));
}

int64_t Matrix::panel_bytes() const { return panel_size(kind_, k_); }

Matrix Matrix::pack_f32(int rows, int k, const std::function<void(int, float*)>& fill, TaskPool& pool) {
  Matrix m(MatrixKind::F32, rows, k);
  fill_panels<float>(rows, k, m.data_.get(), m.panel_bytes(), fill, pool);
  return m;
}

Matrix Matrix::pack_16(MatrixKind kind, int rows, int k, const std::function<void(int, uint16_t*)>& fill,
                       TaskPool& pool) {
  RETORT_CHECK(kind == MatrixKind::F16 || kind == MatrixKind::BF16);
  Matrix m(kind, rows, k);
  fill_panels<uint16_t>(rows, k, m.data_.get(), m.panel_bytes(), fill, pool);
  return m;
}

Matrix Matrix::pack_int8(MatrixKind kind, int rows, int k, const std::function<void(int, const Int8Row&)>& fill,
                         TaskPool& pool) {
  RETORT_CHECK((kind == MatrixKind::Int8 || kind == MatrixKind::Int8Min) && k % kBlock == 0);
  Matrix m(kind, rows, k);
  const int blocks = k / kBlock;
  pool.run((rows + kLanes - 1) / kLanes, [&](int panel) {
    std::vector<int8_t> q(static_cast<size_t>(k));
    std::vector<uint16_t> scales(static_cast<size_t>(blocks)), minima(static_cast<size_t>(blocks));
    for (int lane = 0; lane < kLanes && panel * kLanes + lane < rows; ++lane) {
      fill(panel * kLanes + lane, {q.data(), scales.data(), minima.data()});
      uint8_t* out = m.data_.get() + panel * m.panel_bytes();
      for (int block = 0; block < blocks; ++block, out += kPanelBlockBytes) {
        std::memcpy(out + lane * 2, &scales[static_cast<size_t>(block)], 2);
        std::memcpy(out + kPanelScaleBytes + lane * 2, &minima[static_cast<size_t>(block)], 2);
        for (int group = 0; group < kBlock / 4; ++group)
          std::memcpy(out + kLanes * 4 + group * kLanes * 4 + lane * 4,
                      &q[static_cast<size_t>(block * kBlock + group * 4)], 4);
      }
    }
  });
  return m;
}

void linear(TaskPool& pool, const float* x, int64_t ldx, int m, std::span<const Product> products,
            Activations& scratch) {
  if (m <= 0 || products.empty()) return;
  const Isa& kernels = isa();
  const int k = products[0].weights->k(), blocks = k / kBlock;
  bool any_int8 = false;
  int panels = 0;
  for (const Product& product : products) {
    RETORT_CHECK(product.weights->k() == k);
    any_int8 = any_int8 || product.weights->int8();
    panels += (product.weights->rows() + kLanes - 1) / kLanes;
  }
  const int threads = pool.threads();
  if (any_int8) {
    scratch.q.resize(static_cast<size_t>(m) * static_cast<size_t>(k));
    scratch.scales.resize(static_cast<size_t>(m) * static_cast<size_t>(blocks));
    scratch.sums.resize(scratch.scales.size());
    const int pieces = m < 8 ? 1 : std::min(m / 4, threads * 2);
    pool.run(pieces, [&](int piece) {
      for (int64_t row = m * piece / pieces; row < m * (piece + 1) / pieces; ++row)
        kernels.quantise(x + row * ldx, blocks, scratch.q.data() + row * k, scratch.scales.data() + row * blocks,
                         scratch.sums.data() + row * blocks);
    });
  }
  // Tasks: blocks of rows that fit a cache x runs of panels. Where they are cut changes no bit.
  const int row_block = static_cast<int>(std::clamp<int64_t>(kRowsBytes / (k * 4), 24, 144));
  const int row_tasks = (m + row_block - 1) / row_block;
  const int panel_tasks = std::clamp(threads == 1 ? 1 : threads * 6 / row_tasks, 1, panels);
  pool.run(row_tasks * panel_tasks, [&](int task) {
    const int64_t row = static_cast<int64_t>(m) * (task / panel_tasks) / row_tasks;
    const int rows = static_cast<int>(static_cast<int64_t>(m) * (task / panel_tasks + 1) / row_tasks - row);
    const int part = task % panel_tasks;
    int begin = static_cast<int>(static_cast<int64_t>(panels) * part / panel_tasks);
    const int end = static_cast<int>(static_cast<int64_t>(panels) * (part + 1) / panel_tasks);
    int base = 0;  // the first panel of the product at hand, counted over all products
    for (const Product& product : products) {
      const Matrix& w = *product.weights;
      const int own = (w.rows() + kLanes - 1) / kLanes;
      if (begin < end && begin < base + own) {
        const int first = begin - base, count = std::min(end - base, own) - first;
        float* y = product.y + row * product.ldy;
        if (w.int8()) {
          const Int8Rows rows8{scratch.q.data() + row * k, scratch.scales.data() + row * blocks,
                               scratch.sums.data() + row * blocks};
          kernels.int8_gemm(rows8, rows, blocks, w.data() + first * w.panel_bytes(), w.kind() == MatrixKind::Int8Min,
                            std::min(count * kLanes, w.rows() - first * kLanes), y + first * kLanes, product.ldy);
        } else {
          run_floats(w, first, count, x + row * ldx, ldx, rows, y, product.ldy);
        }
        begin += count;
      }
      base += own;
    }
  });
}

}  // namespace retort::kernels
