// Blocks of weights (the first byte says which type): rows read one by one equal the whole, and numbers that were
// narrowed come back as themselves.
#include "model/tensor.h"

#include <cmath>
#include <cstring>

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  std::vector<std::string> out;
  for (char type = 0; type < 8; ++type)
    for (const char fill : {'\0', '\x3C', '\x7F', '\xFC'}) out.push_back(type + std::string(2 * 2 * 64 * 4, fill));
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  std::string_view bytes = fuzz::text_of(data, size);
  const auto dtype = static_cast<model::DType>(fuzz::take_choice(bytes, 8));
  RETORT_CHECK(model::find_dtype(model::dtype_name(dtype)) == dtype);
  const int64_t cols = 2 * model::block_weights(dtype);
  const int64_t rows = static_cast<int64_t>(bytes.size()) / *model::byte_size(dtype, {1, cols});
  model::Tensor tensor{
      dtype, {rows, cols}, bytes.substr(0, static_cast<size_t>(*model::byte_size(dtype, {rows, cols}))), nullptr};
  const std::vector<float> whole = model::to_f32(tensor);
  RETORT_CHECK(static_cast<int64_t>(whole.size()) == rows * cols);
  std::vector<float> row(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    model::to_f32(tensor, r, 1, row.data());
    RETORT_CHECK(std::memcmp(row.data(), whole.data() + r * cols, row.size() * sizeof(float)) == 0);
  }
  for (size_t i = 0; i + 2 <= bytes.size(); i += 2) {
    uint16_t bits;
    std::memcpy(&bits, bytes.data() + i, sizeof bits);
    const float half = model::f16_to_f32(bits), brain = model::bf16_to_f32(bits);
    RETORT_CHECK(std::isnan(half) ? std::isnan(model::f16_to_f32(model::f32_to_f16(half)))
                                  : model::f32_to_f16(half) == bits);
    RETORT_CHECK(std::isnan(brain) ? std::isnan(model::bf16_to_f32(model::f32_to_bf16(brain)))
                                   : model::f32_to_bf16(brain) == bits);
  }
  return 0;
}
