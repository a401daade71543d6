#include "model/gguf.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/check.h"
#include "base/text.h"

namespace retort::model {
namespace {

struct GgmlType {
  uint32_t id;
  const char* name;
  int weights, bytes;  // of a block; 0 where the type was removed from ggml
};
// ggml's types (ggml/include/ggml.h, enum ggml_type; sizes from ggml-common.h).
constexpr GgmlType kTypes[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {4, "Q4_2", 0, 0},        {5, "Q4_3", 0, 0},        {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},   {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},         {25, "I16", 1, 2},        {26, "I32", 1, 4},        {27, "I64", 1, 8},
    {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {31, "Q4_0_4_4", 0, 0},
    {32, "Q4_0_4_8", 0, 0},   {33, "Q4_0_8_8", 0, 0},   {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},
    {36, "IQ4_NL_4_4", 0, 0}, {37, "IQ4_NL_4_8", 0, 0}, {38, "IQ4_NL_8_8", 0, 0}, {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},
};

constexpr int kMaxArrayDepth = 4;         // arrays of arrays; real files have depth 1
constexpr uint64_t kMaxKeyBytes = 65535;  // of a key (the format's bound) and of a tensor's name
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint32_t kMaxDimensions = 4;  // ggml's GGML_MAX_DIMS

// Bytes of a fixed-size type; 0 for strings and arrays.
uint64_t fixed_size(GgufType type) {
  switch (type) {
    case GgufType::U8:
    case GgufType::I8:
    case GgufType::Bool: return 1;
    case GgufType::U16:
    case GgufType::I16: return 2;
    case GgufType::U32:
    case GgufType::I32:
    case GgufType::F32: return 4;
    case GgufType::U64:
    case GgufType::I64:
    case GgufType::F64: return 8;
    default: return 0;
  }
}

std::string show(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string shown = to_utf8(text.substr(0, kShown));
  return text.size() > kShown ? shown + "..." : shown;
}

template <class T>
T load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Reads forward; each step checks that the bytes are there. `field` names what is read, for errors.
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return bytes_.size() - at_; }

  template <class... Args>
  Error corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return within(where_, fail(Code::Corrupt, format, std::forward<Args>(args)...));
  }

  Result<std::string_view> take(uint64_t size, std::string_view field) {
    if (size > left()) {
      return corrupt("{} needs {} bytes at byte {}, but the file ends {} bytes later; it may be cut short", field, size,
                     at_, left());
    }
    const std::string_view taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }
  template <class T>
  Result<T> number(std::string_view field) {
    RETORT_ASSIGN(const std::string_view taken, take(sizeof(T), field));
    return load<T>(taken.data());
  }
  Result<std::string_view> string(std::string_view field, uint64_t limit = UINT64_MAX) {
    RETORT_ASSIGN(const uint64_t size, number<uint64_t>(field));
    if (size > limit) return corrupt("{} has a length of {}, more than {}", field, size, limit);
    return take(size, field);
  }
  Result<GgufType> type(std::string_view field) {
    RETORT_ASSIGN(const uint32_t id, number<uint32_t>(field));
    if (id > static_cast<uint32_t>(GgufType::F64)) {
      return corrupt("{} has the value type {}, which GGUF does not define (0 to 12)", field, id);
    }
    return static_cast<GgufType>(id);
  }

  // Skips over a value of `type` and describes it.
  Result<GgufValue> value(GgufType type, std::string_view field, int depth = 0) {
    GgufValue out{type, type, 1, {}};
    if (type == GgufType::String) {
      RETORT_ASSIGN(out.bytes, string(field));
    } else if (type == GgufType::Array) {
      RETORT_TRY(array(out, field, depth));
    } else {
      RETORT_ASSIGN(out.bytes, take(fixed_size(type), field));
      if (type == GgufType::Bool && static_cast<uint8_t>(out.bytes[0]) > 1) {
        return corrupt("{} is a boolean of value {}, neither 0 nor 1", field, static_cast<uint8_t>(out.bytes[0]));
      }
    }
    return out;
  }

 private:
  Status array(GgufValue& out, std::string_view field, int depth) {
    if (depth >= kMaxArrayDepth) return corrupt("{} nests arrays deeper than {}", field, kMaxArrayDepth);
    RETORT_ASSIGN(out.element, type(field));
    RETORT_ASSIGN(out.count, number<uint64_t>(field));
    const uint64_t start = at_;
    const uint64_t size = fixed_size(out.element);
    const uint64_t least = size > 0 ? size : out.element == GgufType::String ? 8 : 12;
    if (out.count > left() / least) {
      return corrupt("{} claims {} elements of type {}, but only {} bytes follow", field, out.count,
                     gguf_type_name(out.element), left());
    }
    if (size > 0) {
      RETORT_TRY(take(out.count * size, field));
    } else {
      for (uint64_t i = 0; i < out.count; ++i) RETORT_TRY(value(out.element, field, depth + 1));
    }
    out.bytes = bytes_.substr(start, at_ - start);
    return {};
  }

  std::string_view bytes_;
  const std::string& where_;
  uint64_t at_ = 0;
};

int64_t integer_at(GgufType type, const char* at) {
  switch (type) {
    case GgufType::U8: return load<uint8_t>(at);
    case GgufType::I8: return load<int8_t>(at);
    case GgufType::U16: return load<uint16_t>(at);
    case GgufType::I16: return load<int16_t>(at);
    case GgufType::U32: return load<uint32_t>(at);
    case GgufType::I32: return load<int32_t>(at);
    default: return load<int64_t>(at);
  }
}

bool is_integer(GgufType type) {
  return fixed_size(type) > 0 && type != GgufType::F32 && type != GgufType::F64 && type != GgufType::Bool;
}

Error wrong_kind(std::string_view key, const GgufValue& value, const char* wanted) {
  const std::string got = value.type == GgufType::Array ? fmt::format("an array of {}", gguf_type_name(value.element))
                                                        : std::string(gguf_type_name(value.type));
  return fail(Code::Invalid, "GGUF key `{}` must be {}, not {}", key, wanted, got);
}

Result<StoredTensor> read_tensor_info(Reader& reader, uint64_t index, uint64_t alignment, uint64_t& offset,
                                      uint64_t& size) {
  const std::string field = fmt::format("tensor {}", index);
  RETORT_ASSIGN(const std::string_view name, reader.string(field + "'s name", kMaxKeyBytes));
  StoredTensor tensor;
  tensor.name = to_utf8(name);
  const std::string label = fmt::format("tensor `{}`", show(name));
  RETORT_ASSIGN(const uint32_t dimensions, reader.number<uint32_t>(label + "'s dimensions"));
  if (dimensions > kMaxDimensions) {
    return reader.corrupt("{} has {} dimensions, more than {}", label, dimensions, kMaxDimensions);
  }
  for (uint32_t d = 0; d < dimensions; ++d) {
    RETORT_ASSIGN(const uint64_t n, reader.number<uint64_t>(label + "'s shape"));
    if (n > (uint64_t{1} << 62)) return reader.corrupt("{} has a dimension of {}", label, n);
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(n));  // the file lists the contiguous one first
  }
  RETORT_ASSIGN(const uint32_t id, reader.number<uint32_t>(label + "'s type"));
  const auto type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const GgmlType& t) { return t.id == id; });
  if (type == std::end(kTypes)) {
    return reader.corrupt("{} has the ggml type {}, which this version does not know", label, id);
  }
  tensor.type = type->name;
  tensor.dtype = find_dtype(tensor.type);
  RETORT_ASSIGN(offset, reader.number<uint64_t>(label + "'s offset"));
  if (offset % alignment != 0) {
    return reader.corrupt("{} has the offset {}, no multiple of the alignment {}", label, offset, alignment);
  }
  const auto count = weight_count(tensor.shape);
  if (!count.ok()) return reader.corrupt("{}: {}", label, count.error().message);
  size = 0;
  if (type->weights == 0) return tensor;  // removed from ggml: its size is not known; as_tensor() refuses it by name
  if ((tensor.shape.empty() ? 1 : tensor.shape.back()) % type->weights != 0) {
    return reader.corrupt("{} of shape {} cannot be {}: its last dimension is no multiple of {}", label,
                          shape_text(tensor.shape), tensor.type, type->weights);
  }
  const auto bytes = static_cast<unsigned __int128>(*count / type->weights) * static_cast<unsigned>(type->bytes);
  if (bytes > (uint64_t{1} << 62))
    return reader.corrupt("{} of shape {} is too large", label, shape_text(tensor.shape));
  size = static_cast<uint64_t>(bytes);
  return tensor;
}

}  // namespace

const char* gguf_type_name(GgufType type) {
  constexpr const char* kNames[] = {"uint8",   "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                    "boolean", "string", "array",  "uint64", "int64",  "float64"};
  return kNames[static_cast<size_t>(type)];
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto it = values_.find(std::string(key));
  return it == values_.end() ? nullptr : &it->second;
}

void GgufMetadata::add(std::string key, GgufValue value) {
  if (values_.emplace(key, value).second) keys_.push_back(std::move(key));
}

Result<std::string> GgufMetadata::get_string(std::string_view key, std::string_view fallback) const {
  const GgufValue* v = find(key);
  if (v == nullptr) return std::string(fallback);
  if (v->type != GgufType::String) return wrong_kind(key, *v, "a string");
  return std::string(v->bytes);
}

Result<int64_t> GgufMetadata::get_int(std::string_view key, int64_t fallback) const {
  const GgufValue* v = find(key);
  if (v == nullptr) return fallback;
  if (!is_integer(v->type)) return wrong_kind(key, *v, "an integer");
  if (v->type == GgufType::U64 && load<uint64_t>(v->bytes.data()) > static_cast<uint64_t>(INT64_MAX)) {
    return fail(Code::Invalid, "GGUF key `{}` is {}, more than 2^63-1", key, load<uint64_t>(v->bytes.data()));
  }
  return integer_at(v->type, v->bytes.data());
}

Result<double> GgufMetadata::get_double(std::string_view key, double fallback) const {
  const GgufValue* v = find(key);
  if (v == nullptr) return fallback;
  if (v->type == GgufType::F32) return static_cast<double>(load<float>(v->bytes.data()));
  if (v->type == GgufType::F64) return load<double>(v->bytes.data());
  return wrong_kind(key, *v, "a number");
}

Result<bool> GgufMetadata::get_bool(std::string_view key, bool fallback) const {
  const GgufValue* v = find(key);
  if (v == nullptr) return fallback;
  if (v->type != GgufType::Bool) return wrong_kind(key, *v, "a boolean");
  return v->bytes[0] != 0;
}

Result<std::vector<std::string_view>> GgufMetadata::get_strings(std::string_view key) const {
  std::vector<std::string_view> out;
  const GgufValue* v = find(key);
  if (v == nullptr) return out;
  if (v->type != GgufType::Array || v->element != GgufType::String) return wrong_kind(key, *v, "an array of strings");
  out.reserve(v->count);
  const char* at = v->bytes.data();
  for (uint64_t i = 0; i < v->count; ++i) {  // lengths were checked by parse_gguf()
    const uint64_t size = load<uint64_t>(at);
    out.emplace_back(at + 8, size);
    at += 8 + size;
  }
  return out;
}

Result<std::vector<int64_t>> GgufMetadata::get_ints(std::string_view key) const {
  std::vector<int64_t> out;
  const GgufValue* v = find(key);
  if (v == nullptr) return out;
  if (v->type != GgufType::Array || !is_integer(v->element)) return wrong_kind(key, *v, "an array of integers");
  out.reserve(v->count);
  const uint64_t size = fixed_size(v->element);
  for (uint64_t i = 0; i < v->count; ++i) out.push_back(integer_at(v->element, v->bytes.data() + i * size));
  return out;
}

Result<std::vector<float>> GgufMetadata::get_floats(std::string_view key) const {
  std::vector<float> out;
  const GgufValue* v = find(key);
  if (v == nullptr) return out;
  if (v->type != GgufType::Array || v->element != GgufType::F32) return wrong_kind(key, *v, "an array of float32");
  out.resize(v->count);
  if (v->count > 0) std::memcpy(out.data(), v->bytes.data(), v->count * sizeof(float));
  return out;
}

std::string GgufMetadata::describe(std::string_view key) const {
  const GgufValue* v = find(key);
  if (v == nullptr) return "";
  const char* at = v->bytes.data();
  switch (v->type) {
    case GgufType::String: return to_utf8(v->bytes);
    case GgufType::Array: return fmt::format("[{} x {}]", v->count, gguf_type_name(v->element));
    case GgufType::Bool: return *at != 0 ? "true" : "false";
    case GgufType::F32: return fmt::format("{}", load<float>(at));
    case GgufType::F64: return fmt::format("{}", load<double>(at));
    case GgufType::U64: return fmt::format("{}", load<uint64_t>(at));
    default: return fmt::format("{}", integer_at(v->type, at));
  }
}

Result<Gguf> parse_gguf(std::string_view bytes, const std::string& where) {
  Reader reader(bytes, where);
  RETORT_ASSIGN(const std::string_view magic, reader.take(4, "the magic"));
  if (magic != "GGUF") return reader.corrupt("begins with `{}`, not `GGUF`; this is no GGUF file", show(magic));
  Gguf out;
  RETORT_ASSIGN(out.version, reader.number<uint32_t>("the version"));
  if (out.version != 2 && out.version != 3) {
    const bool swapped = out.version != 0 && (out.version & 0xFFFF) == 0;
    return within(where, fail(Code::Invalid, "GGUF version {} is not supported (2 and 3 are){}", out.version,
                              swapped ? "; the file is big-endian, convert it to little-endian" : ""));
  }
  RETORT_ASSIGN(const uint64_t tensors, reader.number<uint64_t>("the tensor count"));
  RETORT_ASSIGN(const uint64_t pairs, reader.number<uint64_t>("the metadata count"));
  // A pair takes at least 13 bytes (length, type, value), a tensor 24 (length, dimensions, type, offset).
  if (pairs > reader.left() / 13) {
    return reader.corrupt("the metadata count is {}, but only {} bytes follow", pairs, reader.left());
  }
  if (tensors > reader.left() / 24) {
    return reader.corrupt("the tensor count is {}, but only {} bytes follow", tensors, reader.left());
  }

  for (uint64_t i = 0; i < pairs; ++i) {
    RETORT_ASSIGN(const std::string_view raw_key, reader.string(fmt::format("metadata key {}", i), kMaxKeyBytes));
    const std::string key = to_utf8(raw_key);
    const std::string field = fmt::format("metadata `{}`", show(key));
    RETORT_ASSIGN(const GgufType type, reader.type(field));
    RETORT_ASSIGN(const GgufValue value, reader.value(type, field));
    if (out.metadata.has(key)) return reader.corrupt("{} comes twice", field);
    out.metadata.add(key, value);
  }
  if (const GgufValue* v = out.metadata.find("general.alignment"); v != nullptr) {
    if (v->type != GgufType::U32) return within(where, wrong_kind("general.alignment", *v, "uint32"));
    out.alignment = load<uint32_t>(v->bytes.data());
    if (out.alignment == 0 || out.alignment > kMaxAlignment || (out.alignment & (out.alignment - 1)) != 0) {
      return reader.corrupt("general.alignment is {}, no power of two up to {}", out.alignment, kMaxAlignment);
    }
  }

  std::vector<std::pair<uint64_t, uint64_t>> spans;  // offset, size
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < tensors; ++i) {
    uint64_t offset = 0, size = 0;
    RETORT_ASSIGN(StoredTensor tensor, read_tensor_info(reader, i, out.alignment, offset, size));
    if (!names.insert(tensor.name).second) return reader.corrupt("tensor `{}` comes twice", show(tensor.name));
    spans.emplace_back(offset, size);
    out.tensors.push_back(std::move(tensor));
  }
  const uint64_t start = (reader.at() + out.alignment - 1) / out.alignment * out.alignment;
  const std::string_view data = start <= bytes.size() ? bytes.substr(start) : std::string_view();
  for (uint64_t i = 0; i < tensors; ++i) {
    const auto [offset, size] = spans[i];
    if (offset > data.size() || size > data.size() - offset) {
      return reader.corrupt(
          "tensor `{}` lies at {} and takes {} bytes, but the file has {} bytes of tensor data; it may "
          "be cut short",
          show(out.tensors[i].name), offset, size, data.size());
    }
    out.tensors[i].bytes = data.substr(offset, size);
  }
  std::vector<uint64_t> order(spans.size());
  for (uint64_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) { return spans[a] < spans[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const auto [offset, size] = spans[order[i - 1]];
    if (offset + size > spans[order[i]].first) {
      return reader.corrupt("tensors `{}` and `{}` overlap at offset {}", show(out.tensors[order[i - 1]].name),
                            show(out.tensors[order[i]].name), spans[order[i]].first);
    }
  }
  return out;
}

Result<Gguf> read_gguf(const std::string& path) {
  RETORT_ASSIGN(auto file, MappedFile::open(path));
  RETORT_ASSIGN(Gguf out, parse_gguf(file->bytes(), path));
  RETORT_TRY(file->whole());
  out.file = std::move(file);
  return out;
}

}  // namespace retort::model
