// The safetensors format, read and written: 8 bytes of header length (little-endian), a JSON header, one buffer.
// Everything the header says is checked against the file before use: offsets lie inside the buffer, match shape and
// type, neither overlap nor leave holes, names are unique (https://github.com/huggingface/safetensors, "Format").
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/result.h"
#include "model/tensor.h"

namespace retort::model {

// Largest header accepted, as in the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct Safetensors {
  std::shared_ptr<const MappedFile> file;  // null from parse_safetensors()
  Json metadata;                           // the header's __metadata__, null where absent
  std::vector<StoredTensor> tensors;       // by offset; views into the file
};

// Errors: Corrupt, naming `where`, the field and its value.
Result<Safetensors> parse_safetensors(std::string_view bytes, const std::string& where);
Result<Safetensors> read_safetensors(const std::string& path);

// The shards of a `model.safetensors.index.json`, read, with each tensor in the shard that the index names and no
// other.
Result<std::vector<Safetensors>> read_safetensors_index(const std::string& path);

// Writes F32 or BF16 (`dtype`), converting as needed, in the order given; the bytes depend on nothing but the
// arguments. Streams through `env.append_file(path)` and syncs; not atomic by itself (hf_directory.h renames the
// folder).
Status write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, DType dtype, Env& env);

}  // namespace retort::model
