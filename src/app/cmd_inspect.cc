// `retort inspect FILE`: what a model, weight file, tokenizer, record file or provenance book is and holds. Reads no
// more than it needs: a model's tensors are listed even where retort cannot run it.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include <fmt/core.h>

#include "app/command.h"
#include "app/inspect_book.h"
#include "app/say.h"
#include "app/train_files.h"
#include "base/env.h"
#include "base/hash.h"
#include "base/text.h"
#include "model/gguf.h"
#include "model/hf_directory.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/tokenizer_load.h"
#include "record/kind.h"
#include "record/stream.h"

namespace retort::app {
namespace {

using namespace retort::model;

struct State {
  std::string path, tensor;
  bool json = false, hash = false;
};

std::string size_text(int64_t bytes) {
  const char* const units[] = {"bytes", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1000 && unit < 4) value /= 1000, ++unit;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string thousands(int64_t value) {
  std::string text = std::to_string(value);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<size_t>(at), ",");
  return text;
}

int64_t count_of(const Shape& shape) {
  const auto count = weight_count(shape);
  return count.ok() ? *count : 0;
}

// {"Q8_0": {"tensors", "weights", "bytes"}}, by bytes.
Json types_table(const std::vector<StoredTensor>& tensors) {
  std::map<std::string, std::array<int64_t, 3>> sums;
  for (const StoredTensor& t : tensors) {
    auto& s = sums[t.type];
    s[0] += 1;
    s[1] += count_of(t.shape);
    s[2] += static_cast<int64_t>(t.bytes.size());
  }
  Json out = Json::object();
  for (const auto& [type, s] : sums) out[type] = {{"tensors", s[0]}, {"weights", s[1]}, {"bytes", s[2]}};
  return out;
}

Json tensor_list(const std::vector<StoredTensor>& tensors) {
  Json out = Json::array();
  for (const StoredTensor& t : tensors) {
    out.push_back({{"name", t.name}, {"type", t.type}, {"shape", t.shape}, {"bytes", t.bytes.size()}});
  }
  return out;
}

Json config_summary(const Config& c) {
  return {{"vocab_size", c.vocab_size},
          {"hidden_size", c.hidden_size},
          {"layers", c.layers},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"ffn_size", c.ffn_size},
          {"rope_theta", c.rope_theta},
          {"rms_eps", c.rms_eps},
          {"max_context", c.max_context},
          {"tied_embeddings", c.tied_embeddings},
          {"bos_id", c.bos_id ? Json(*c.bos_id) : Json(nullptr)},
          {"pad_id", c.pad_id ? Json(*c.pad_id) : Json(nullptr)},
          {"eos_ids", c.eos_ids}};
}

Result<std::vector<StoredTensor>> stored_tensors(const ModelPath& source,
                                                 std::vector<std::shared_ptr<const void>>& keep, Json& metadata) {
  std::vector<StoredTensor> out;
  if (source.kind == ModelPath::Kind::Gguf) {
    RETORT_ASSIGN(Gguf file, read_gguf(source.path));
    for (const std::string& key : file.metadata.keys()) {
      const std::string text = file.metadata.describe(key);
      metadata[key] = text.size() > 200 ? text.substr(0, utf8_complete_prefix(text.substr(0, 200))) + "..." : text;
    }
    keep.push_back(file.file);
    return std::move(file.tensors);
  }
  const std::string single = source.path + "/model.safetensors", index = single + ".index.json";
  std::vector<Safetensors> shards;
  if (system_env().exists(single)) {
    RETORT_ASSIGN(Safetensors one, read_safetensors(single));
    shards.push_back(std::move(one));
  } else if (system_env().exists(index)) {
    RETORT_ASSIGN(shards, read_safetensors_index(index));
  }
  for (Safetensors& shard : shards) {
    keep.push_back(shard.file);
    for (StoredTensor& t : shard.tensors) out.push_back(std::move(t));
  }
  return out;
}

// One tensor's figures: what the rest of the world can compare with.
Result<Json> describe_tensor(const std::string& name, const Tensor& t) {
  const std::vector<float> values = to_f32(t);
  double sum = 0, squares = 0;
  float least = INFINITY, most = -INFINITY;
  for (const float v : values) {
    sum += v;
    squares += static_cast<double>(v) * v;
    least = std::min(least, v);
    most = std::max(most, v);
  }
  Json first = Json::array();
  for (size_t i = 0; i < values.size() && i < 8; ++i) first.push_back(values[i]);
  const double n = static_cast<double>(std::max<size_t>(values.size(), 1));
  return Json{{"name", name},
              {"type", dtype_name(t.dtype)},
              {"shape", t.shape},
              {"mean", sum / n},
              {"rms", std::sqrt(squares / n)},
              {"min", values.empty() ? Json(nullptr) : Json(least)},
              {"max", values.empty() ? Json(nullptr) : Json(most)},
              {"first", first},
              // Of the values as little-endian fp32: equal tensors, equal hash, whatever their type.
              {"f32_sha256", sha256({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)})}};
}

Result<Json> inspect_model(const State& state) {
  RETORT_ASSIGN(const ModelPath source, resolve_model(state.path));
  Json out = {{"kind", source.kind == ModelPath::Kind::Gguf ? "gguf model" : "huggingface model"},
              {"path", source.path},
              {"name", source.name}};
  std::vector<std::shared_ptr<const void>> keep;
  Json metadata = Json::object();
  RETORT_ASSIGN(const std::vector<StoredTensor> stored, stored_tensors(source, keep, metadata));
  const auto weights = load_weights(state.path);
  if (!state.tensor.empty()) {
    if (weights.ok()) {
      if (const auto it = weights->tensors.find(state.tensor); it != weights->tensors.end()) {
        return describe_tensor(it->first, it->second);
      }
    }
    std::vector<std::string> names;
    for (const StoredTensor& t : stored) {
      names.push_back(t.name);
      if (t.name != state.tensor) continue;
      RETORT_ASSIGN(const Tensor tensor, as_tensor(t, nullptr));
      return describe_tensor(t.name, tensor);
    }
    const std::string near = nearest(state.tensor, names);
    return fail(Code::NotFound, "{} has no tensor `{}`{}", source.path, state.tensor,
                near.empty() ? "" : "; did you mean `" + near + "`?");
  }
  int64_t total = 0, bytes = 0;
  for (const StoredTensor& t : stored) {
    total += count_of(t.shape);
    bytes += static_cast<int64_t>(t.bytes.size());
  }
  out["runs"] = weights.ok();
  if (weights.ok()) {
    out["name"] = weights->name;
    out["parameters"] = parameter_count(weights->config);
    out["config"] = config_summary(weights->config);
    out["unused_tensors"] = weights->unused;
    if (state.hash) out["content_hash"] = weights->content_hash();
  } else {
    out["why_not"] = weights.error().message;
    out["parameters"] = total;
  }
  out["weight_bytes"] = bytes;
  out["types"] = types_table(stored);
  const auto text = load_text(source.path, system_env());
  if (text.ok()) {
    out["tokenizer"] = {{"tokens", text->tokenizer.vocab_size()},
                        {"bos", text->tokenizer.bos_token()},
                        {"eos", text->tokenizer.eos_token()}};
    out["chat_template"] = !text->chat_template.empty();
  } else {
    out["tokenizer"] = nullptr;
    out["tokenizer_error"] = text.error().message;
  }
  if (!metadata.empty()) out["metadata"] = metadata;
  if (const auto record = system_env().read_file(source.path + "/" + kModelProvenance); record.ok()) {
    auto json = parse_json(*record);
    if (!json.ok()) return within(source.path + "/" + kModelProvenance, std::move(json).error());
    out["provenance"] = *json;
  }
  out["tensors"] = tensor_list(stored);
  return out;
}

Result<Json> inspect_safetensors(const State& state) {
  RETORT_ASSIGN(const Safetensors file, read_safetensors(state.path));
  int64_t total = 0;
  for (const StoredTensor& t : file.tensors) {
    if (!state.tensor.empty() && t.name == state.tensor) {
      RETORT_ASSIGN(const Tensor tensor, as_tensor(t, file.file));
      return describe_tensor(t.name, tensor);
    }
    total += count_of(t.shape);
  }
  if (!state.tensor.empty()) return fail(Code::NotFound, "{} has no tensor `{}`", state.path, state.tensor);
  return Json{{"kind", "safetensors"},
              {"path", state.path},
              {"parameters", total},
              {"weight_bytes", file.file->bytes().size()},
              {"metadata", file.metadata},
              {"types", types_table(file.tensors)},
              {"tensors", tensor_list(file.tensors)}};
}

Result<Json> inspect_tokenizer(const std::string& path) {
  RETORT_ASSIGN(const TextParts text, load_text(path, system_env()));
  const TokenizerSpec& spec = text.tokenizer.spec();
  return Json{{"kind", "tokenizer"},
              {"path", path},
              {"tokens", text.tokenizer.vocab_size()},
              {"merges", spec.merges.size()},
              {"added_tokens", spec.added.size()},
              {"bos", text.tokenizer.bos_token()},
              {"eos", text.tokenizer.eos_token()}};
}

Result<Json> inspect_records(const std::string& path) {
  RETORT_ASSIGN(const auto lines, open_lines(path));
  std::map<std::string, int64_t> kinds, tasks, reasons, keys;
  int64_t count = 0, bad = 0, first_bad = 0, number = 0;
  for (;;) {
    RETORT_ASSIGN(const auto line, lines->next());
    if (!line) break;
    ++number;
    if (trim(*line).empty()) continue;
    const auto json = parse_json(*line);
    if (!json.ok() || !json->is_object()) {
      if (++bad == 1) first_bad = number;
      continue;
    }
    ++count;
    ++kinds[std::string(record_kind(*json))];
    for (const auto& [key, value] : json->items()) ++keys[key];
    const auto tally = [&](const char* key, auto& into) {
      if (const Json* v = find(*json, key); v != nullptr && v->is_string()) ++into[v->get<std::string>()];
    };
    tally("task", tasks);
    tally("reason", reasons);
  }
  Json out = {{"kind", "records"}, {"path", path}, {"records", count}, {"kinds", kinds}, {"keys", keys}};
  if (!tasks.empty()) out["tasks"] = tasks;
  if (!reasons.empty()) out["reasons"] = reasons;
  if (bad > 0) {
    out["broken_lines"] = bad;
    out["first_broken_line"] = first_bad;
  }
  return out;
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && std::string_view(text).substr(text.size() - end.size()) == end;
}

Result<Json> inspect(const State& state) {
  if (is_provenance_book(state.path, system_env())) return inspect_provenance(state.path, system_env());
  if (ends_with(state.path, ".jsonl") || ends_with(state.path, ".jsonl.zst")) return inspect_records(state.path);
  if (ends_with(state.path, ".safetensors")) return inspect_safetensors(state);
  if (std::filesystem::path(state.path).filename() == "tokenizer.json") return inspect_tokenizer(state.path);
  return inspect_model(state);
}

void print_value(const std::string& key, const Json& value) {
  const std::string text = value.is_string()           ? value.get<std::string>()
                           : value.is_number_integer() ? thousands(value.get<int64_t>())
                                                       : to_text(value);
  say("{:<16} {}\n", key, text);
}

void print_human(const Json& out) {
  for (const auto& [key, value] : out.items()) {
    if (key == "tensors" || key == "metadata" || key == "keys" || (value.is_array() && value.empty())) continue;
    if (key == "config" || key == "kinds" || key == "tasks" || key == "reasons") {
      say("{}\n", key);
      for (const auto& [name, v] : value.items()) say("  {:<18} {}\n", name, to_text(v));
    } else if (key == "types") {
      say("types\n  {:<8} {:>8} {:>16} {:>10}\n", "type", "tensors", "weights", "size");
      for (const auto& [type, row] : value.items()) {
        say("  {:<8} {:>8} {:>16} {:>10}\n", type, row["tensors"].get<int64_t>(),
            thousands(row["weights"].get<int64_t>()), size_text(row["bytes"].get<int64_t>()));
      }
    } else if (key == "provenance") {
      say("provenance\n{}", lineage_text(value, 2));
    } else if (key == "weight_bytes") {
      print_value("size", size_text(value.get<int64_t>()));
    } else if (key == "tokenizer" && value.is_object()) {
      say("{:<16} {} tokens, BOS {}, EOS {}\n", key, thousands(value["tokens"].get<int64_t>()), to_text(value["bos"]),
          to_text(value["eos"]));
    } else {
      print_value(key, value.is_boolean() ? Json(value.get<bool>() ? "yes" : "no") : value);
    }
  }
  if (const Json* keys = find(out, "keys")) {
    say("members\n");
    for (const auto& [name, count] : keys->items()) say("  {:<18} {}\n", name, to_text(count));
  }
}

}  // namespace

Command inspect_command() {
  return {"inspect", "say what a model, weight file, tokenizer, record file or provenance book is and holds",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto state = std::make_shared<State>();
            cli.add_option("file", state->path,
                           "a model (folder, .gguf, cache folder), .safetensors, tokenizer.json, "
                           ".jsonl or .jsonl.zst, a run's provenance.jsonl (its chain is verified)")
                ->required();
            cli.add_option("--tensor", state->tensor, "describe this tensor's values instead");
            cli.add_flag("--hash", state->hash, "with a model: also its content hash (reads all weights)");
            cli.add_flag("--json", state->json, "one JSON object, with every tensor and metadata key");
            return [state]() -> Result<int> {
              RETORT_ASSIGN(const Json out, inspect(*state));
              if (state->json)
                say("{}\n", to_text(out));
              else if (out.value("kind", "") == "provenance book")
                say("{}", provenance_text(out));
              else
                print_human(out);
              return 0;
            };
          }};
}

}  // namespace retort::app
