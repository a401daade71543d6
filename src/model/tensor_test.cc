#include "model/tensor.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "base/random.h"

namespace retort::model {
namespace {

TEST(Tensor, SizesFollowShapesAndRefuseWhatCannotBe) {
  EXPECT_EQ(*byte_size(DType::F32, {3, 5}), 60);
  EXPECT_EQ(*byte_size(DType::BF16, {}), 2);
  EXPECT_EQ(*byte_size(DType::Q8_0, {2, 64}), 2 * 2 * 34);
  EXPECT_EQ(*byte_size(DType::Q4_0, {2, 64}), 2 * 2 * 18);
  EXPECT_EQ(*byte_size(DType::Q4_1, {2, 64}), 2 * 2 * 20);
  EXPECT_EQ(*byte_size(DType::Q5_0, {2, 64}), 2 * 2 * 22);
  EXPECT_EQ(*byte_size(DType::Q5_1, {2, 64}), 2 * 2 * 24);
  EXPECT_EQ(*byte_size(DType::Q8_0, {0, 64}), 0);
  const auto ragged = byte_size(DType::Q8_0, {2, 33});
  ASSERT_FALSE(ragged.ok());
  EXPECT_NE(ragged.error().message.find("[2, 33]"), std::string::npos);
  EXPECT_FALSE(weight_count({-1}).ok());
  EXPECT_FALSE(weight_count({int64_t{1} << 40, int64_t{1} << 40}).ok());
  EXPECT_FALSE(weight_count({0, int64_t{1} << 40, int64_t{1} << 40}).ok()) << "rows() would overflow";
  EXPECT_FALSE(byte_size(DType::F32, {int64_t{1} << 61}).ok());
}

// Every half value against the definition in double precision.
TEST(Tensor, HalfToFloatIsExact) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
    const float got = f16_to_f32(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << bits;
    if (exponent == 31) {
      ASSERT_EQ(mantissa == 0 ? std::isinf(got) : std::isnan(got), true) << bits;
      continue;
    }
    const double want = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(static_cast<double>(std::abs(got)), want) << bits;
  }
}

// Rounding: the nearest of all representable values, the even one of two equally near.
template <class Decode>
void expect_nearest(float value, uint16_t got, const Decode& decode) {
  const double error = std::abs(static_cast<double>(decode(got)) - value);
  for (const int step : {-1, 1}) {
    const uint16_t other = static_cast<uint16_t>(got + step);
    if ((other & 0x8000) != (got & 0x8000)) continue;  // past zero
    const float neighbour = decode(other);
    if (!std::isfinite(neighbour)) continue;
    const double other_error = std::abs(static_cast<double>(neighbour) - value);
    ASSERT_TRUE(error < other_error || (error == other_error && (got & 1) == 0)) << value << " became " << decode(got);
  }
}

TEST(Tensor, FloatToHalfAndToBfloatRoundToNearestEven) {
  Random random(7);
  for (int i = 0; i < 200000; ++i) {
    const uint32_t bits = static_cast<uint32_t>(random.next());
    const float value = __builtin_bit_cast(float, bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
      continue;
    }
    if (std::abs(value) < 65520.0f) expect_nearest(value, f32_to_f16(value), f16_to_f32);
    if (std::abs(value) < 3.3e38f) expect_nearest(value, f32_to_bf16(value), bf16_to_f32);
    // Values near halves' range, ties among them.
    const float near = static_cast<float>(std::ldexp(static_cast<double>(random.between(-4096, 4096)), -14 - i % 16));
    expect_nearest(near, f32_to_f16(near), f16_to_f32);
  }
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xFC00);
  EXPECT_EQ(f32_to_f16(0x1.0p-25f), 0) << "a tie goes to even";
  EXPECT_EQ(f32_to_f16(0x1.8p-25f), 1);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    if (!std::isnan(value)) {
      ASSERT_EQ(f32_to_f16(value), bits);
    }
  }
}

// One block of each type written out by hand from the layouts in tensor.h (the random oracle is tests/test_weights.py).
TEST(Tensor, BlocksByHand) {
  const uint16_t half = f32_to_f16(0.5f), three = f32_to_f16(3.0f);
  const auto block = [](std::initializer_list<uint16_t> heads, const std::string& rest) {
    std::string bytes;
    for (const uint16_t h : heads) bytes.append(reinterpret_cast<const char*>(&h), 2);
    return bytes + rest;
  };
  const auto value = [](DType dtype, const std::string& bytes, size_t i) {
    EXPECT_EQ(bytes.size(), static_cast<size_t>(block_bytes(dtype)));
    return to_f32(Tensor{dtype, {1, 32}, bytes, nullptr})[i];
  };
  std::string q8(32, '\0');
  q8[0] = '\x80', q8[31] = 127;
  EXPECT_EQ(value(DType::Q8_0, block({half}, q8), 0), -64.0f);
  EXPECT_EQ(value(DType::Q8_0, block({half}, q8), 31), 63.5f);
  std::string q4(16, '\0');
  q4[3] = '\xA2';  // w[3] = 2, w[19] = 10
  EXPECT_EQ(value(DType::Q4_0, block({half}, q4), 3), -3.0f);
  EXPECT_EQ(value(DType::Q4_0, block({half}, q4), 19), 1.0f);
  EXPECT_EQ(value(DType::Q4_0, block({half}, q4), 0), -4.0f);
  EXPECT_EQ(value(DType::Q4_1, block({half, three}, q4), 3), 4.0f);
  EXPECT_EQ(value(DType::Q4_1, block({half, three}, q4), 19), 8.0f);
  const std::string high = std::string("\x08\0", 2) + std::string("\x08\0", 2);  // bits 3 and 19
  EXPECT_EQ(value(DType::Q5_0, block({half}, high + q4), 3), 1.0f);              // (2 + 16 - 16) / 2
  EXPECT_EQ(value(DType::Q5_0, block({half}, high + q4), 19), 5.0f);             // (10 + 16 - 16) / 2
  EXPECT_EQ(value(DType::Q5_0, block({half}, high + q4), 0), -8.0f);
  EXPECT_EQ(value(DType::Q5_1, block({half, three}, high + q4), 3), 12.0f);
  EXPECT_EQ(value(DType::Q5_1, block({half, three}, high + q4), 19), 16.0f);
  EXPECT_EQ(value(DType::Q5_1, block({half, three}, high + q4), 0), 3.0f);
}

TEST(Tensor, RowRangesEqualTheWholeAtAnyAlignment) {
  Random random(3);
  for (const DType dtype :
       {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1}) {
    const Shape shape = {2, 3, 96};
    const size_t size = static_cast<size_t>(*byte_size(dtype, shape));
    std::string bytes(size + 1, '\0');
    for (char& c : bytes) c = static_cast<char>(random.below(100));  // small exponents: finite values
    const Tensor aligned{dtype, shape, std::string_view(bytes).substr(0, size), nullptr};
    std::string shifted = "x" + bytes.substr(0, size);
    const Tensor odd{dtype, shape, std::string_view(shifted).substr(1), nullptr};
    const std::vector<float> whole = to_f32(aligned);
    EXPECT_EQ(std::memcmp(whole.data(), to_f32(odd).data(), whole.size() * sizeof(float)), 0) << dtype_name(dtype);
    ASSERT_EQ(whole.size(), 576u);
    for (int64_t first = 0; first <= 6; ++first) {
      for (int64_t rows = 0; rows <= 6 - first; ++rows) {
        std::vector<float> part(static_cast<size_t>(rows * 96 + 1), -1.0f);
        to_f32(aligned, first, rows, part.data());
        ASSERT_TRUE(std::equal(part.begin(), part.end() - 1, whole.begin() + first * 96));
        ASSERT_EQ(part.back(), -1.0f) << "wrote past the end";
      }
    }
  }
}

TEST(Tensor, UnsupportedTypesAreNamed) {
  const auto tensor = as_tensor({"blk.0.attn_q.weight", "Q4_K", std::nullopt, {256}, {}}, nullptr);
  ASSERT_FALSE(tensor.ok());
  EXPECT_NE(tensor.error().message.find("Q4_K"), std::string::npos);
  EXPECT_NE(tensor.error().message.find("blk.0.attn_q.weight"), std::string::npos);
  for (const char* name : {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"}) {
    ASSERT_TRUE(find_dtype(name).has_value());
    EXPECT_STREQ(dtype_name(*find_dtype(name)), name);
  }
  EXPECT_FALSE(find_dtype("F64").has_value());
}

}  // namespace
}  // namespace retort::model
