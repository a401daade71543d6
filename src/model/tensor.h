// A tensor of weights as it lies in a file: number type, shape, bytes. Row-major, the last dimension contiguous;
// quantised types group it in blocks of 32. to_f32() is the scalar reference that every faster kernel is held against,
// bit-exact to ggml's definition of each type. Non-goals: arithmetic (kernels), packing for speed (infer).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace retort::model {

// The types that retort computes with. Block layouts (32 weights w[0..31], little-endian, no padding):
//   Q8_0  34 bytes: f16 d; int8 q[32]                        w[i] = q[i] * d
//   Q4_0  18 bytes: f16 d; uint8 q[16]                       w[i] = ((q[i] & 15) - 8) * d, w[i+16] = ((q[i] >> 4) - 8)
//   * d Q4_1  20 bytes: f16 d; f16 m; uint8 q[16]                w[i] = (q[i] & 15) * d + m,   w[i+16] = (q[i] >> 4) *
//   d + m Q5_0  22 bytes: f16 d; uint32 h; uint8 q[16]             as Q4_0 with a fifth bit, bit i of h for w[i], and
//   16 for 8 Q5_1  24 bytes: f16 d; f16 m; uint32 h; uint8 q[16]      as Q4_1 with a fifth bit, bit i of h for w[i]
// Products and sums are rounded to fp32 one by one (no fused multiply-add).
enum class DType : uint8_t { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 };

// "F32", "Q8_0", ...: the names that safetensors and ggml use.
const char* dtype_name(DType dtype);
std::optional<DType> find_dtype(std::string_view name);
// Weights in a block (1 or 32) and bytes of a block.
int block_weights(DType dtype);
int block_bytes(DType dtype);

using Shape = std::vector<int64_t>;

// "[576, 1536]"
std::string shape_text(const Shape& shape);
// Product of the dimensions (1 for a scalar). Invalid where one is negative or the product passes 2^62.
Result<int64_t> weight_count(const Shape& shape);
// Bytes of a tensor. Invalid where the last dimension is no multiple of the block or the size passes 2^62.
Result<int64_t> byte_size(DType dtype, const Shape& shape);

struct Tensor {
  DType dtype = DType::F32;
  Shape shape;
  std::string_view bytes;             // exactly byte_size(dtype, shape); at no particular alignment
  std::shared_ptr<const void> owner;  // keeps `bytes` alive: the mapping or a buffer

  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const;  // product of all dimensions but the last
  int64_t count() const { return rows() * cols(); }
  int64_t row_bytes() const { return cols() / block_weights(dtype) * block_bytes(dtype); }
  const uint8_t* row(int64_t index) const {
    return reinterpret_cast<const uint8_t*>(bytes.data()) + index * row_bytes();
  }
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// A tensor that owns a copy of `values` (F32, row-major). `values.size()` must be the shape's count.
Tensor make_tensor(Shape shape, std::vector<float> values);

// Rows [first, first + rows) as fp32 into out[rows * cols]. The range must lie inside the tensor.
void to_f32(const Tensor& tensor, int64_t first, int64_t rows, float* out);
// The whole tensor as fp32.
std::vector<float> to_f32(const Tensor& tensor);

// The first column of row `row` whose weight is NaN or infinite, -1 where none is.
int64_t first_not_finite(const Tensor& tensor, int64_t row);

float f16_to_f32(uint16_t bits);
inline float bf16_to_f32(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
// Round to nearest, ties to even; NaN stays a quiet NaN.
uint16_t f32_to_f16(float value);
uint16_t f32_to_bf16(float value);

// A tensor as a file declares it, which may be of a type that retort only lists.
struct StoredTensor {
  std::string name;
  std::string type;            // the file's own name of the number type: "F32", "Q4_K", "I64", ...
  std::optional<DType> dtype;  // absent where retort does not compute with it
  Shape shape;
  std::string_view bytes;
};

// The tensor behind `stored`; Invalid where its type is not supported, naming type and tensor.
Result<Tensor> as_tensor(const StoredTensor& stored, std::shared_ptr<const void> owner);

}  // namespace retort::model
