#include "model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <unordered_set>

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include "base/text.h"

// RapidJSON instead of base/json.h: a header may name a hundred thousand tensors, duplicates must be seen, and the
// iterative parser needs no depth bound.

namespace retort::model {
namespace {

struct TypeBits {
  const char* name;
  int bits;
};
// All types of safetensors 0.8 (safetensors/src/tensor.rs, enum Dtype).
constexpr TypeBits kTypes[] = {{"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
                               {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
                               {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
                               {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
                               {"I64", 64},        {"U64", 64}};

std::string_view text_of(const rapidjson::Value& value) { return {value.GetString(), value.GetStringLength()}; }

// The value as a short text for a message.
std::string show(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string shown = to_utf8(text.substr(0, kShown));
  return text.size() > kShown ? shown + "..." : shown;
}

struct Header {
  const std::string& where;
  std::string_view buffer;
  template <class... Args>
  Error corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return within(where, fail(Code::Corrupt, format, std::forward<Args>(args)...));
  }
};

Result<StoredTensor> read_entry(const Header& header, std::string_view name, const rapidjson::Value& entry) {
  const std::string label = fmt::format("tensor `{}`", show(name));
  if (!entry.IsObject()) return header.corrupt("{} is not an object", label);
  const rapidjson::Value *dtype = nullptr, *shape = nullptr, *offsets = nullptr;
  for (const auto& member : entry.GetObject()) {
    const std::string_view key = text_of(member.name);
    const rapidjson::Value** slot = key == "dtype"          ? &dtype
                                    : key == "shape"        ? &shape
                                    : key == "data_offsets" ? &offsets
                                                            : nullptr;
    if (slot == nullptr)
      return header.corrupt("{} has a member `{}`, which the format does not know", label, show(key));
    if (*slot != nullptr) return header.corrupt("{} names `{}` twice", label, key);
    *slot = &member.value;
  }
  if (dtype == nullptr || !dtype->IsString()) return header.corrupt("{}: `dtype` must be a string", label);
  if (shape == nullptr || !shape->IsArray()) return header.corrupt("{}: `shape` must be an array", label);
  if (offsets == nullptr || !offsets->IsArray() || offsets->Size() != 2 || !(*offsets)[0].IsUint64() ||
      !(*offsets)[1].IsUint64()) {
    return header.corrupt("{}: `data_offsets` must be two integers", label);
  }

  StoredTensor tensor;
  tensor.name = std::string(name);
  tensor.type = std::string(text_of(*dtype));
  const auto type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeBits& t) { return tensor.type == t.name; });
  if (type == std::end(kTypes)) {
    return header.corrupt("{}: `dtype` is `{}`, which safetensors does not define", label, show(tensor.type));
  }
  tensor.dtype = find_dtype(tensor.type);
  if (shape->Size() > 32) return header.corrupt("{}: `shape` has {} dimensions, more than 32", label, shape->Size());
  for (const auto& n : shape->GetArray()) {
    if (!n.IsUint64() || n.GetUint64() > (uint64_t{1} << 62)) {
      return header.corrupt("{}: `shape` must hold integers from 0 to 2^62", label);
    }
    tensor.shape.push_back(static_cast<int64_t>(n.GetUint64()));
  }
  const auto count = weight_count(tensor.shape);
  if (!count.ok()) return header.corrupt("{}: {}", label, count.error().message);

  const uint64_t begin = (*offsets)[0].GetUint64(), end = (*offsets)[1].GetUint64();
  if (begin > end || end > header.buffer.size()) {
    return header.corrupt("{}: `data_offsets` are [{}, {}], but the buffer has {} bytes; the file may be cut short",
                          label, begin, end, header.buffer.size());
  }
  const auto bits = static_cast<unsigned __int128>(*count) * static_cast<unsigned>(type->bits);
  if (bits != static_cast<unsigned __int128>(end - begin) * 8) {
    return header.corrupt("{}: `data_offsets` [{}, {}] span {} bytes, but {} {} needs {}", label, begin, end,
                          end - begin, tensor.type, shape_text(tensor.shape), static_cast<uint64_t>((bits + 7) / 8));
  }
  tensor.bytes = header.buffer.substr(begin, end - begin);
  return tensor;
}

}  // namespace

Result<Safetensors> parse_safetensors(std::string_view bytes, const std::string& where) {
  Header header{where, {}};
  if (bytes.size() < 8) {
    return header.corrupt("{} bytes are too few for a safetensors file (8 bytes of header length come first)",
                          bytes.size());
  }
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxSafetensorsHeader) {
    return header.corrupt("header length is {}, more than {}; this is no safetensors file", length,
                          kMaxSafetensorsHeader);
  }
  if (length > bytes.size() - 8) {
    return header.corrupt("header length is {}, but only {} bytes follow; the file may be cut short", length,
                          bytes.size() - 8);
  }
  const std::string_view text = bytes.substr(8, length);
  header.buffer = bytes.substr(8 + length);
  if (text.empty() || text.front() != '{') return header.corrupt("the header does not begin with `{{`");
  if (!is_utf8(text)) return header.corrupt("the header is not UTF-8");

  rapidjson::Document json;
  json.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
  if (json.HasParseError()) {
    return header.corrupt("the header is not JSON: {} at byte {}", rapidjson::GetParseError_En(json.GetParseError()),
                          8 + json.GetErrorOffset());
  }
  if (!json.IsObject()) return header.corrupt("the header is not an object");

  Safetensors out;
  std::unordered_set<std::string_view> names;
  for (const auto& member : json.GetObject()) {
    const std::string_view name = text_of(member.name);
    if (!names.insert(name).second) return header.corrupt("the header names `{}` twice", show(name));
    if (name == "__metadata__") {
      if (!member.value.IsObject()) return header.corrupt("`__metadata__` is not an object");
      std::map<std::string, std::string> metadata;
      for (const auto& m : member.value.GetObject()) {
        if (!m.value.IsString()) return header.corrupt("`__metadata__.{}` is not a string", show(text_of(m.name)));
        metadata[std::string(text_of(m.name))] = std::string(text_of(m.value));
      }
      out.metadata = metadata;
      continue;
    }
    RETORT_ASSIGN(StoredTensor tensor, read_entry(header, name, member.value));
    out.tensors.push_back(std::move(tensor));
  }

  // By offset; an empty tensor comes before the one that starts where it lies.
  std::stable_sort(out.tensors.begin(), out.tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return a.bytes.data() != b.bytes.data() ? a.bytes.data() < b.bytes.data() : a.bytes.size() < b.bytes.size();
  });
  uint64_t at = 0;
  for (const StoredTensor& tensor : out.tensors) {
    const uint64_t begin = static_cast<uint64_t>(tensor.bytes.data() - header.buffer.data());
    if (begin != at) {
      return header.corrupt("tensor `{}` begins at {}, but the one before it ends at {}: {}", show(tensor.name), begin,
                            at, begin < at ? "they overlap" : "the format allows no hole");
    }
    at = begin + tensor.bytes.size();
  }
  if (at != header.buffer.size()) {
    return header.corrupt("the tensors take {} bytes, but the buffer has {}", at, header.buffer.size());
  }
  return out;
}

Result<Safetensors> read_safetensors(const std::string& path) {
  RETORT_ASSIGN(auto file, MappedFile::open(path));
  RETORT_ASSIGN(Safetensors out, parse_safetensors(file->bytes(), path));
  RETORT_TRY(file->whole());
  out.file = std::move(file);
  return out;
}

Result<std::vector<Safetensors>> read_safetensors_index(const std::string& path) {
  RETORT_ASSIGN(const auto file, MappedFile::open(path));
  const auto corrupt = [&](const std::string& what) { return within(path, Error{Code::Corrupt, what, -1}); };
  if (file->bytes().size() > kMaxSafetensorsHeader) {
    return corrupt(fmt::format("an index of {} bytes is larger than {}", file->bytes().size(), kMaxSafetensorsHeader));
  }
  if (!is_utf8(file->bytes())) return corrupt("the index is not UTF-8");
  rapidjson::Document json;
  json.Parse<rapidjson::kParseIterativeFlag>(file->bytes().data(), file->bytes().size());
  if (json.HasParseError()) {
    return corrupt(fmt::format("the index is not JSON: {} at byte {}",
                               rapidjson::GetParseError_En(json.GetParseError()), json.GetErrorOffset()));
  }
  if (!json.IsObject()) return corrupt("the index is not an object");
  const auto map = json.FindMember("weight_map");
  if (map == json.MemberEnd() || !map->value.IsObject()) return corrupt("`weight_map` must be an object");

  std::map<std::string, std::string> shard_of;
  std::map<std::string, size_t> listed;  // shard -> tensors the index puts there
  for (const auto& member : map->value.GetObject()) {
    const std::string name(text_of(member.name));
    if (!member.value.IsString()) return corrupt(fmt::format("`weight_map.{}` must be a file name", show(name)));
    const std::string shard(text_of(member.value));
    if (shard.empty() || shard.find('/') != std::string::npos || shard.find('\0') != std::string::npos ||
        shard == ".." || shard == ".") {
      return corrupt(
          fmt::format("`weight_map.{}` is `{}`; it must name a file beside the index", show(name), show(shard)));
    }
    if (!shard_of.emplace(name, shard).second) return corrupt(fmt::format("`weight_map` names `{}` twice", show(name)));
    ++listed[shard];
  }
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::vector<Safetensors> shards;
  for (const auto& [shard, count] : listed) {
    RETORT_ASSIGN(Safetensors read, read_safetensors((folder / shard).string()));
    for (const StoredTensor& tensor : read.tensors) {
      const auto entry = shard_of.find(tensor.name);
      if (entry == shard_of.end() || entry->second != shard) {
        return corrupt(fmt::format("tensor `{}` lies in {}, but `weight_map` says {}", show(tensor.name), shard,
                                   entry == shard_of.end() ? "nothing about it" : entry->second));
      }
    }
    if (read.tensors.size() != count) {
      for (const auto& [name, file_name] : shard_of) {
        const auto same = [&wanted = name](const StoredTensor& t) { return t.name == wanted; };
        if (file_name == shard && std::none_of(read.tensors.begin(), read.tensors.end(), same)) {
          return corrupt(fmt::format("`weight_map` puts `{}` into {}, which does not hold it", show(name), shard));
        }
      }
    }
    shards.push_back(std::move(read));
  }
  return shards;
}

}  // namespace retort::model
