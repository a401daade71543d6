// safetensors files and their index: tensors of a file that is accepted lie inside it, side by side, with the bytes
// that shape and type need; they can be read as numbers.
#include "model/safetensors.h"

#include "base/fuzz/target.h"

namespace {

std::string file(std::string header, size_t buffer) {
  std::string out(8, '\0');
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(header.size() >> (8 * i));
  return out + header + std::string(buffer, '\x3C');
}

std::string good() {
  return file(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"c":{"dtype":"I64","shape":[],"data_offsets":[32,40]}})",
      40);
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {
      good(), file(R"({"e":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}})", 0), file("{}", 0),
      file(R"({"f":{"dtype":"F4","shape":[6],"data_offsets":[0,3]}}   )", 3),
      R"({"metadata":{"total_size":40},"weight_map":{"a":"x.safetensors","b":"x.safetensors","c":"x.safetensors"}})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view bytes = fuzz::text_of(data, size);
  const auto parsed = model::parse_safetensors(bytes, "the file");
  if (parsed.ok()) {
    const char* at = parsed->tensors.empty() ? nullptr : parsed->tensors.front().bytes.data();
    for (const model::StoredTensor& stored : parsed->tensors) {
      RETORT_CHECK(stored.bytes.data() == at &&
                   stored.bytes.data() + stored.bytes.size() <= bytes.data() + bytes.size());
      at += stored.bytes.size();
      const auto tensor = model::as_tensor(stored, nullptr);
      RETORT_CHECK(tensor.ok() == stored.dtype.has_value());
      if (!tensor.ok()) continue;
      RETORT_CHECK(static_cast<int64_t>(tensor->bytes.size()) == *model::byte_size(tensor->dtype, tensor->shape));
      RETORT_CHECK(model::to_f32(*tensor).size() == static_cast<size_t>(tensor->count()));
    }
  } else {
    fuzz::check_refusal(parsed.error());
    RETORT_CHECK(parsed.error().message.find("the file") != std::string::npos);
  }
  if (!bytes.empty() && bytes[0] == '{') {
    static const fuzz::Folder folder;
    folder.put("x.safetensors", good());
    const std::string path = folder.put("model.safetensors.index.json", bytes);
    const auto shards = model::read_safetensors_index(path);
    if (!shards.ok()) fuzz::check_refusal(shards.error());
  }
  return 0;
}
