#include "infer/pack.h"

#include <cstring>

namespace retort::infer {
namespace {

using kernels::Int8Row;
using kernels::kBlock;
using kernels::MatrixKind;
using model::DType;

// One row of ggml blocks (layouts in model/tensor.h).
void unpack_row(DType dtype, const uint8_t* block, int blocks, const Int8Row& out) {
  const bool minima = dtype == DType::Q4_1 || dtype == DType::Q5_1;
  const bool five_bits = dtype == DType::Q5_0 || dtype == DType::Q5_1;
  const int bias = dtype == DType::Q4_0 ? 8 : dtype == DType::Q5_0 ? 16 : 0;
  for (int b = 0; b < blocks; ++b, block += model::block_bytes(dtype)) {
    int8_t* q = out.q + b * kBlock;
    const uint8_t* at = block;
    std::memcpy(&out.scales[b], at, 2);
    at += 2;
    out.minima[b] = 0;
    if (dtype == DType::Q8_0) {
      std::memcpy(q, at, kBlock);
      continue;
    }
    if (minima) {
      std::memcpy(&out.minima[b], at, 2);
      at += 2;
    }
    uint32_t high = 0;
    if (five_bits) {
      std::memcpy(&high, at, 4);
      at += 4;
    }
    for (int i = 0; i < kBlock / 2; ++i) {
      const int low = (at[i] & 15) | static_cast<int>(high >> i & 1u) << 4;
      const int top = (at[i] >> 4) | static_cast<int>(high >> (i + 16) & 1u) << 4;
      q[i] = static_cast<int8_t>(low - bias);
      q[i + kBlock / 2] = static_cast<int8_t>(top - bias);
    }
  }
}

}  // namespace

kernels::Matrix pack(const model::Tensor& tensor, TaskPool& pool) {
  const int rows = static_cast<int>(tensor.rows()), k = static_cast<int>(tensor.cols());
  switch (tensor.dtype) {
    case DType::F32:
      return kernels::Matrix::pack_f32(rows, k, [&](int row, float* out) { model::to_f32(tensor, row, 1, out); }, pool);
    case DType::F16:
    case DType::BF16:
      return kernels::Matrix::pack_16(
          tensor.dtype == DType::F16 ? MatrixKind::F16 : MatrixKind::BF16, rows, k,
          [&](int row, uint16_t* out) { std::memcpy(out, tensor.row(row), static_cast<size_t>(k) * 2); }, pool);
    default: break;
  }
  const bool minima = tensor.dtype == DType::Q4_1 || tensor.dtype == DType::Q5_1;
  return kernels::Matrix::pack_int8(
      minima ? MatrixKind::Int8Min : MatrixKind::Int8, rows, k,
      [&](int row, const Int8Row& out) { unpack_row(tensor.dtype, tensor.row(row), k / kBlock, out); }, pool);
}

}  // namespace retort::infer
