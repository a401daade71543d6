// The GGUF format, versions 2 and 3, little-endian, read only: metadata as typed key/value views into the mapping (a
// vocabulary of 50,000 tokens costs nothing until it is asked for) and tensors. Every count, length, type and offset is
// checked against the file before use (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/tensor.h"

namespace retort::model {

enum class GgufType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };
const char* gguf_type_name(GgufType type);  // "uint8", ..., "string", "array"

// One value: a view, valid as long as the file's bytes.
struct GgufValue {
  GgufType type = GgufType::U8;
  GgufType element = GgufType::U8;  // of an array
  uint64_t count = 1;               // elements of an array
  std::string_view bytes;           // a scalar's bytes, a string's text, an array's encoded elements
};

// The metadata of a file. Getters: `fallback` where the key is absent; Invalid, naming key and type, where it is of
// another kind (any integer type serves as an integer, F32 and F64 as a double).
class GgufMetadata {
 public:
  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const std::vector<std::string>& keys() const { return keys_; }  // in the file's order

  Result<std::string> get_string(std::string_view key, std::string_view fallback) const;
  Result<int64_t> get_int(std::string_view key, int64_t fallback) const;
  Result<double> get_double(std::string_view key, double fallback) const;
  Result<bool> get_bool(std::string_view key, bool fallback) const;
  // Arrays; absence is an empty vector. String views point into the file.
  Result<std::vector<std::string_view>> get_strings(std::string_view key) const;
  Result<std::vector<int64_t>> get_ints(std::string_view key) const;
  Result<std::vector<float>> get_floats(std::string_view key) const;

  // The value for a reader: text, number, or "[49152 x string]".
  std::string describe(std::string_view key) const;

  void add(std::string key, GgufValue value);  // for the parser

 private:
  std::vector<std::string> keys_;
  std::unordered_map<std::string, GgufValue> values_;
};

struct Gguf {
  std::shared_ptr<const MappedFile> file;  // null from parse_gguf()
  uint32_t version = 0;
  uint64_t alignment = 32;
  GgufMetadata metadata;
  std::vector<StoredTensor> tensors;  // in the file's order; shapes as in Hugging Face (the last dimension contiguous)
};

// Errors: Corrupt, naming `where`, the field and its value.
Result<Gguf> parse_gguf(std::string_view bytes, const std::string& where);
Result<Gguf> read_gguf(const std::string& path);

}  // namespace retort::model
