// Matrix: a weight matrix in the layout the kernels read, and linear(), y = x * W^T over a task pool. Kinds: fp32,
// 16-bit floats (unpacked to fp32 on the fly; activations stay fp32) and int8 in blocks of 32 with f16 scales, to which
// ggml's Q8_0, Q5 and Q4 types go without loss (activations are rounded to int8 per block of 32, the dot is exact).
//
// Layout: panels of 16 rows of W. Float kinds: [k][16]. Int8: for each block of 32 k, 16 f16 scales, 16 f16 minima,
// then 8 x (16 rows x 4 k) int8: weight(row, k) = scale[row] * q + minimum[row].
// Non-goals: parsing files (model/tensor.h) and choosing kinds (infer/pack.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/task_pool.h"
#include "kernels/isa.h"

namespace retort::kernels {

enum class MatrixKind : uint8_t { F32, F16, BF16, Int8, Int8Min };

// One row of W for Int8 kinds: q[k], and a scale and (Int8Min) a minimum for each block, as f16 bits.
struct Int8Row {
  int8_t* q = nullptr;
  uint16_t* scales = nullptr;
  uint16_t* minima = nullptr;
};

class Matrix {
 public:
  Matrix() = default;
  // `fill(row, out)` writes the k values of one row of W; called once for each row, from the pool's threads.
  static Matrix pack_f32(int rows, int k, const std::function<void(int, float*)>& fill, TaskPool& pool);
  // The same with 16-bit values; `kind` is F16 or BF16.
  static Matrix pack_16(MatrixKind kind, int rows, int k, const std::function<void(int, uint16_t*)>& fill,
                        TaskPool& pool);
  // `kind` is Int8 or Int8Min; k must be a multiple of kBlock.
  static Matrix pack_int8(MatrixKind kind, int rows, int k, const std::function<void(int, const Int8Row&)>& fill,
                          TaskPool& pool);

  MatrixKind kind() const { return kind_; }
  int rows() const { return rows_; }
  int k() const { return k_; }
  int64_t bytes() const { return bytes_; }
  const uint8_t* data() const { return data_.get(); }
  bool int8() const { return kind_ == MatrixKind::Int8 || kind_ == MatrixKind::Int8Min; }
  // Bytes of one panel of 16 rows.
  int64_t panel_bytes() const;

 private:
  Matrix(MatrixKind kind, int rows, int k);

  struct Free {
    void operator()(uint8_t* p) const;
  };
  MatrixKind kind_ = MatrixKind::F32;
  int rows_ = 0, k_ = 0;
  int64_t bytes_ = 0;
  std::unique_ptr<uint8_t[], Free> data_;
};

// The int8 form of a batch of activations; buffers grow as needed.
struct Activations {
  std::vector<int8_t> q;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

// One product of linear(): y[m][ldy], of which rows() columns are written.
struct Product {
  const Matrix* weights = nullptr;
  float* y = nullptr;
  int64_t ldy = 0;
};

// y = x * W^T for each product; they share x [m][k] (ldx >= k). Every output's bits depend on its own row of x only:
// not on m, the threads or the other products. `scratch` holds x in int8 where some product needs it.
void linear(TaskPool& pool, const float* x, int64_t ldx, int m, std::span<const Product> products,
            Activations& scratch);

}  // namespace retort::kernels
