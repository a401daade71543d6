// The writing half of safetensors.h.
#include <cstring>

#include "base/check.h"
#include "model/safetensors.h"

namespace retort::model {
namespace {

constexpr int64_t kPieceWeights = 1 << 18;  // converted at a time: 1 MiB of fp32, large enough that calls cost nothing

Status append_converted(AppendFile& file, const Tensor& tensor, DType dtype) {
  if (tensor.dtype == dtype) return file.append(tensor.bytes);
  const int64_t rows = tensor.rows(), cols = tensor.cols();
  if (rows * cols == 0) return {};
  const int64_t step = std::max<int64_t>(1, kPieceWeights / cols);
  std::vector<float> values;
  std::vector<uint16_t> halves;
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t n = std::min(step, rows - first);
    values.resize(static_cast<size_t>(n * cols));
    to_f32(tensor, first, n, values.data());
    if (dtype == DType::F32) {
      RETORT_TRY(file.append({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}));
    } else {
      halves.resize(values.size());
      for (size_t i = 0; i < values.size(); ++i) halves[i] = f32_to_bf16(values[i]);
      RETORT_TRY(file.append({reinterpret_cast<const char*>(halves.data()), halves.size() * sizeof(uint16_t)}));
    }
  }
  return {};
}

}  // namespace

Status write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, DType dtype, Env& env) {
  if (dtype != DType::F32 && dtype != DType::BF16) {
    return fail(Code::Invalid, "cannot write {} as {}; choose F32 or BF16", path, dtype_name(dtype));
  }
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  int64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto size = byte_size(dtype, tensor.shape);
    if (!size.ok()) return within(fmt::format("tensor `{}`", name), size.error());
    if (header.contains(name)) return fail(Code::Invalid, "cannot write {}: tensor `{}` comes twice", path, name);
    header[name] = {{"dtype", dtype_name(dtype)}, {"shape", tensor.shape}, {"data_offsets", {at, at + *size}}};
    at += *size;
  }
  std::string text = to_text(header);
  text.append((8 - text.size() % 8) % 8, ' ');  // the buffer starts aligned, as the reference implementation has it
  if (text.size() > kMaxSafetensorsHeader) {
    return fail(Code::Limit, "cannot write {}: a header of {} bytes is larger than {}", path, text.size(),
                kMaxSafetensorsHeader);
  }
  const uint64_t length = text.size();
  char prefix[8];
  std::memcpy(prefix, &length, sizeof prefix);

  RETORT_ASSIGN(const auto file, env.append_file(path, true));
  RETORT_TRY(file->append({prefix, sizeof prefix}));
  RETORT_TRY(file->append(text));
  for (const NamedTensor& named : tensors) RETORT_TRY(append_converted(*file, named.tensor, dtype));
  return file->sync();
}

}  // namespace retort::model
