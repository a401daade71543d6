#include "model/tensor.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace retort::model {
namespace {

struct DTypeInfo {
  const char* name;
  int weights, bytes;
};
constexpr DTypeInfo kDTypes[] = {{"F32", 1, 4},    {"F16", 1, 2},    {"BF16", 1, 2},   {"Q8_0", 32, 34},
                                 {"Q4_0", 32, 18}, {"Q4_1", 32, 20}, {"Q5_0", 32, 22}, {"Q5_1", 32, 24}};
constexpr int64_t kMaxCount = int64_t{1} << 62;

const DTypeInfo& info(DType dtype) { return kDTypes[static_cast<size_t>(dtype)]; }

template <class T>
T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float scale_at(const uint8_t* at) { return f16_to_f32(load<uint16_t>(at)); }

// One block of 32 weights. Each product and sum is a rounded fp32 operation of its own: the compiler fuses none of them
// (-ffp-contract=off).
void block_to_f32(DType dtype, const uint8_t* block, float* out) {
  const float d = scale_at(block);
  switch (dtype) {
    case DType::Q8_0:
      for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
      return;
    case DType::Q4_0:
      for (int i = 0; i < 16; ++i) {
        out[i] = static_cast<float>((block[2 + i] & 15) - 8) * d;
        out[i + 16] = static_cast<float>((block[2 + i] >> 4) - 8) * d;
      }
      return;
    case DType::Q4_1: {
      const float m = scale_at(block + 2);
      for (int i = 0; i < 16; ++i) {
        out[i] = static_cast<float>(block[4 + i] & 15) * d;
        out[i + 16] = static_cast<float>(block[4 + i] >> 4) * d;
      }
      for (int i = 0; i < 32; ++i) out[i] += m;
      return;
    }
    case DType::Q5_0: {
      const uint32_t high = load<uint32_t>(block + 2);
      for (int i = 0; i < 16; ++i) {
        const int low_q = (block[6 + i] & 15) | static_cast<int>((high >> i & 1) << 4);
        const int high_q = (block[6 + i] >> 4) | static_cast<int>((high >> (i + 16) & 1) << 4);
        out[i] = static_cast<float>(low_q - 16) * d;
        out[i + 16] = static_cast<float>(high_q - 16) * d;
      }
      return;
    }
    case DType::Q5_1: {
      const float m = scale_at(block + 2);
      const uint32_t high = load<uint32_t>(block + 4);
      for (int i = 0; i < 16; ++i) {
        const int low_q = (block[8 + i] & 15) | static_cast<int>((high >> i & 1) << 4);
        const int high_q = (block[8 + i] >> 4) | static_cast<int>((high >> (i + 16) & 1) << 4);
        out[i] = static_cast<float>(low_q) * d;
        out[i + 16] = static_cast<float>(high_q) * d;
      }
      for (int i = 0; i < 32; ++i) out[i] += m;
      return;
    }
    default: RETORT_CHECK(false && "not a block type");
  }
}

}  // namespace

const char* dtype_name(DType dtype) { return info(dtype).name; }

std::optional<DType> find_dtype(std::string_view name) {
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (name == kDTypes[i].name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

int block_weights(DType dtype) { return info(dtype).weights; }
int block_bytes(DType dtype) { return info(dtype).bytes; }

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

Result<int64_t> weight_count(const Shape& shape) {
  int64_t count = 1;
  bool empty = false;
  for (const int64_t n : shape) {
    if (n < 0) return fail(Code::Invalid, "shape {} has a negative dimension", shape_text(shape));
    if (n == 0) {
      empty = true;
      continue;
    }
    if (count > kMaxCount / n) return fail(Code::Invalid, "shape {} has more than 2^62 elements", shape_text(shape));
    count *= n;
  }
  return empty ? 0 : count;
}

Result<int64_t> byte_size(DType dtype, const Shape& shape) {
  RETORT_ASSIGN(const int64_t count, weight_count(shape));
  const DTypeInfo& t = info(dtype);
  const int64_t cols = shape.empty() ? 1 : shape.back();
  if (cols % t.weights != 0) {
    return fail(Code::Invalid, "shape {} is no shape of {}: its last dimension must be a multiple of {}",
                shape_text(shape), t.name, t.weights);
  }
  const int64_t blocks = count / t.weights;
  if (blocks > kMaxCount / t.bytes) {
    return fail(Code::Invalid, "shape {} of {} has more than 2^62 bytes", shape_text(shape), t.name);
  }
  return blocks * t.bytes;
}

int64_t Tensor::rows() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

Tensor make_tensor(Shape shape, std::vector<float> values) {
  const auto count = weight_count(shape);
  RETORT_CHECK(count.ok() && *count == static_cast<int64_t>(values.size()));
  auto owner = std::make_shared<const std::vector<float>>(std::move(values));
  Tensor tensor;
  tensor.shape = std::move(shape);
  tensor.bytes = {reinterpret_cast<const char*>(owner->data()), owner->size() * sizeof(float)};
  tensor.owner = std::move(owner);
  return tensor;
}

void to_f32(const Tensor& tensor, int64_t first, int64_t rows, float* out) {
  RETORT_CHECK(first >= 0 && rows >= 0 && first <= tensor.rows() && rows <= tensor.rows() - first);
  const int64_t count = rows * tensor.cols();
  if (count == 0) return;
  const uint8_t* from = tensor.row(first);
  switch (tensor.dtype) {
    case DType::F32: std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float)); return;
    case DType::F16:
      for (int64_t i = 0; i < count; ++i) out[i] = f16_to_f32(load<uint16_t>(from + 2 * i));
      return;
    case DType::BF16:
      for (int64_t i = 0; i < count; ++i) out[i] = bf16_to_f32(load<uint16_t>(from + 2 * i));
      return;
    default: {
      const int bytes = block_bytes(tensor.dtype);
      for (int64_t b = 0; b < count / 32; ++b) block_to_f32(tensor.dtype, from + b * bytes, out + b * 32);
    }
  }
}

int64_t first_not_finite(const Tensor& tensor, int64_t row) {
  const uint8_t* const begin = tensor.row(row);
  const int64_t cols = tensor.cols();
  // A number is not finite where all bits of its exponent are set.
  const auto plain = [&](auto zero, auto exponent) -> int64_t {
    using Bits = decltype(zero);
    const auto at = [&](int64_t i) {
      Bits bits;
      std::memcpy(&bits, begin + i * static_cast<int64_t>(sizeof bits), sizeof bits);
      return static_cast<Bits>(bits & exponent) == static_cast<Bits>(exponent);
    };
    bool any = false;
    for (int64_t i = 0; i < cols; ++i) any |= at(i);
    if (!any) return -1;
    int64_t i = 0;
    while (!at(i)) ++i;
    return i;
  };
  switch (tensor.dtype) {
    case DType::F32: return plain(uint32_t{0}, uint32_t{0x7F800000});
    case DType::F16: return plain(uint16_t{0}, uint16_t{0x7C00});
    case DType::BF16: return plain(uint16_t{0}, uint16_t{0x7F80});
    default: break;
  }
  // Blocks: the scale, then the minimum where the type has one, are f16.
  const bool minima = tensor.dtype == DType::Q4_1 || tensor.dtype == DType::Q5_1;
  const int64_t blocks = cols / block_weights(tensor.dtype);
  for (int64_t b = 0; b < blocks; ++b) {
    uint16_t parts[2] = {0, 0};
    std::memcpy(parts, begin + b * block_bytes(tensor.dtype), minima ? 4 : 2);
    if ((parts[0] & 0x7C00) == 0x7C00 || (parts[1] & 0x7C00) == 0x7C00) return b * block_weights(tensor.dtype);
  }
  return -1;
}

std::vector<float> to_f32(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.count()));
  to_f32(tensor, 0, tensor.rows(), values.data());
  return values;
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  // Subnormal: mantissa * 2^-24, exact in fp32.
  const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00);  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 puts the subnormal's last place (2^-24) at the sum's last place, so the addition rounds.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(sum) - 0x3F000000u));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xFFF + odd) >> 13));
}

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

Result<Tensor> as_tensor(const StoredTensor& stored, std::shared_ptr<const void> owner) {
  if (!stored.dtype) {
    return fail(Code::Invalid,
                "tensor `{}` has type {}, which retort does not compute with; convert the file to one of F32, F16, "
                "BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1",
                stored.name, stored.type);
  }
  return Tensor{*stored.dtype, stored.shape, stored.bytes, std::move(owner)};
}

}  // namespace retort::model
