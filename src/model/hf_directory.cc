#include "model/hf_directory.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/check.h"
#include "base/folder.h"
#include "model/gguf.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/tokenizer.h"
#include "model/tokenizer_load.h"

namespace retort::model {
namespace {

// JSON as transformers writes it: indented by two, a newline at the end.
std::string pretty(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

constexpr const char* kModelMark = "model";  // who made the folder, in its mark

std::string salt(Env& env) {
  uint8_t bytes[6];
  env.random_bytes(bytes);
  std::string text;
  for (const uint8_t b : bytes) text += fmt::format("{:02x}", b);
  return text;
}

// What writers of this folder left that were killed: NAME.tmp-<salt> beside it, with a mark of ours and nobody in it.
void sweep_beside(const std::string& directory, Env& env) {
  const size_t slash = directory.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : directory.substr(0, slash);
  const std::string start = directory.substr(slash == std::string::npos ? 0 : slash + 1) + ".tmp-";
  const auto names = env.list_directory(parent);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (!name.starts_with(start) || name.size() != start.size() + 12) continue;
    const auto mark = read_mark(parent + "/" + name);
    if (mark.ok() && mark->by == kModelMark) (void)remove_made(parent + "/" + name, env);
  }
}

// Calls fill(folder) on a fresh folder beside `directory`, then puts it in place under its name. On any error the fresh
// folder is removed and `directory` is as it was.
template <class Fill>
Status appear(const std::string& given, bool replace, Env& env, const Fill& fill) {
  const std::string directory = without_slash(given);
  RETORT_TRY(check_replaceable(directory, replace, env));
  const bool there = env.exists(directory);
  sweep_beside(directory, env);
  const std::string fresh = directory + ".tmp-" + salt(env);
  auto status = [&]() -> Status {
    RETORT_ASSIGN(const Folder held, Folder::hold(fresh, kModelMark, env));
    RETORT_TRY(fill(fresh));
    return there ? env.exchange(fresh, directory) : env.rename(fresh, directory);
  }();
  // The fresh one where something failed, else the old one.
  if (!status.ok()) {
    (void)remove_made(fresh, env);
    return status;
  }
  return there ? remove_made(fresh, env) : Status();
}

Status check_tensors(const HfDirectory& content) {
  std::map<std::string_view, const Tensor*> given;
  for (const auto& [name, tensor] : content.tensors) {
    if (!given.emplace(name, &tensor).second) return fail(Code::Invalid, "tensor `{}` comes twice", name);
  }
  const std::vector<ExpectedTensor> all = expected_tensors(content.config);
  for (const auto& [name, shape] : all) {
    const auto it = given.find(name);
    if (it == given.end()) return fail(Code::Invalid, "tensor `{}` is missing", name);
    if (it->second->shape != shape) {
      return fail(Code::Invalid, "tensor `{}` has shape {}, but the config asks for {}", name,
                  shape_text(it->second->shape), shape_text(shape));
    }
  }
  if (given.size() != all.size()) {
    for (const auto& [name, shape] : all) given.erase(name);
    return fail(Code::Invalid, "tensor `{}` is none that the config knows", given.begin()->first);
  }
  return {};
}

// The tensors in the order of a forward pass, cut where a shard would pass `limit` (a larger tensor gets its own).
std::vector<std::vector<NamedTensor>> shards_of(const HfDirectory& content) {
  std::map<std::string_view, const NamedTensor*> given;
  for (const NamedTensor& named : content.tensors) given[named.name] = &named;
  std::vector<std::vector<NamedTensor>> shards(1);
  int64_t size = 0;
  for (const auto& [name, shape] : expected_tensors(content.config)) {
    const auto bytes = byte_size(content.dtype, shape);
    RETORT_CHECK(bytes.ok());  // check(config) bounds it
    if (size > 0 && size + *bytes > content.max_shard_bytes) {
      shards.emplace_back();
      size = 0;
    }
    shards.back().push_back(*given.at(name));
    size += *bytes;
  }
  return shards;
}

Status write_weights(const std::string& folder, const HfDirectory& content, Env& env) {
  const auto shards = shards_of(content);
  if (shards.size() == 1) {
    return write_safetensors(folder + "/model.safetensors", shards.front(), content.dtype, env);
  }
  Json map = Json::object();
  int64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    RETORT_TRY(write_safetensors(folder + "/" + file, shards[i], content.dtype, env));
    for (const auto& [name, tensor] : shards[i]) {
      map[name] = file;
      total += byte_size(content.dtype, tensor.shape).value();
    }
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  return env.write_file(folder + "/model.safetensors.index.json", pretty(index));
}

Status fill_adapter(const std::string& directory, const PeftAdapter& adapter, Env& env) {
  std::vector<NamedTensor> tensors;
  std::vector<std::string> modules;
  for (const auto& [module, a, b] : adapter.pairs) {
    if (a.shape.size() != 2 || b.shape.size() != 2 || a.shape[0] != adapter.rank || b.shape[1] != adapter.rank) {
      return fail(Code::Invalid, "cannot write an adapter to {}: `{}` has A {} and B {}, but the rank is {}", directory,
                  module, shape_text(a.shape), shape_text(b.shape), adapter.rank);
    }
    tensors.push_back({"base_model.model." + module + ".lora_A.weight", a});
    tensors.push_back({"base_model.model." + module + ".lora_B.weight", b});
    const std::string last = module.substr(module.rfind('.') + 1);
    if (std::find(modules.begin(), modules.end(), last) == modules.end()) modules.push_back(last);
  }
  if (modules.empty()) return fail(Code::Invalid, "cannot write an adapter to {}: it adapts nothing", directory);
  std::sort(modules.begin(), modules.end());
  const Json config = {
      {"base_model_name_or_path", adapter.base_model},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"lora_alpha", adapter.alpha},
      {"lora_dropout", adapter.dropout},
      {"modules_to_save", nullptr},
      {"peft_type", "LORA"},
      {"r", adapter.rank},
      {"target_modules", modules},
      {"task_type", "CAUSAL_LM"},
      {"use_dora", false},
      {"use_rslora", false},
  };
  RETORT_TRY(write_safetensors(directory + "/adapter_model.safetensors", tensors, DType::F32, env));
  return env.write_file(directory + "/adapter_config.json", pretty(config));
}

}  // namespace

Status check_replaceable(const std::string& given, bool replace, Env& env) {
  const std::string directory = without_slash(given);
  if (directory.empty()) return fail(Code::Invalid, "the directory to write has no name");
  if (std::error_code none; std::filesystem::is_symlink(directory, none)) {
    return fail(Code::Invalid, "cannot write a model to {}: it is a symbolic link; give what it points to", directory);
  }
  if (!env.exists(directory)) return {};
  if (!env.is_directory(directory)) {
    return fail(Code::Invalid, "cannot write a model to {}: a file is in the way; choose another name", directory);
  }
  RETORT_ASSIGN(const auto names, env.list_directory(directory));
  if (names.empty()) return {};
  if (!replace) {
    return fail(Code::Invalid,
                "cannot write a model to {}: the folder is not empty; choose another, or allow its replacement "
                "(--replace)",
                directory);
  }
  RETORT_ASSIGN(const Folder held, Folder::hold(directory, kModelMark, env));
  return held.survey();
}

TextFiles text_files(const Tokenizer& tokenizer, const std::string& chat_template) {
  return {tokenizer.to_json(), tokenizer.config_json(chat_template), chat_template};
}

Result<TextFiles> text_files(const Model& model) {
  TextFiles text = text_files(model.tokenizer, model.chat_template_source);
  if (model.format != "huggingface") return text;
  // What lies there may say more than a Tokenizer keeps: copied as it is.
  Env& env = system_env();
  const auto copy = [&](const char* file, std::string& out) -> Status {
    const std::string path = model.path + "/" + file;
    if (!env.exists(path)) return {};
    RETORT_ASSIGN(out, read_file(env, path, kMaxTokenizerFile));
    return {};
  };
  RETORT_TRY(copy("tokenizer.json", text.tokenizer_json));
  RETORT_TRY(copy("tokenizer_config.json", text.tokenizer_config));
  return text;
}

Status write_hf_directory(const std::string& directory, const HfDirectory& content, bool replace, Env& env) {
  const auto named = [&](Error error) { return within("cannot write a model to " + directory, std::move(error)); };
  if (auto status = check(content.config); !status.ok()) return named(std::move(status).error());
  if (auto status = check_tensors(content); !status.ok()) return named(std::move(status).error());
  if (content.dtype != DType::F32 && content.dtype != DType::BF16) {
    return named(fail(Code::Invalid, "type {} is not supported; choose F32 or BF16", dtype_name(content.dtype)));
  }
  return appear(directory, replace, env, [&](const std::string& folder) -> Status {
    RETORT_TRY(write_weights(folder, content, env));
    for (const auto& file : content.files) RETORT_TRY(file->whole());
    std::vector<std::pair<std::string, std::string>> files = {
        {"tokenizer.json", content.text.tokenizer_json},
        {"tokenizer_config.json", content.text.tokenizer_config},
        {"chat_template.jinja", content.text.chat_template},
        {"generation_config.json", pretty(generation_config_json(content.config, content.generation))},
    };
    files.insert(files.end(), content.extra_files.begin(), content.extra_files.end());
    if (content.adapter) {
      RETORT_ASSIGN(const Folder held, Folder::hold(folder + "/adapter", kModelMark, env));
      RETORT_TRY(fill_adapter(folder + "/adapter", *content.adapter, env));
    }
    // Last, and through write_file(), which syncs the folder: with it the names of all files before are durable.
    files.emplace_back("config.json", pretty(config_json(content.config, content.dtype)));
    for (const auto& [name, bytes] : files) {
      if (!bytes.empty()) RETORT_TRY(env.write_file(folder + "/" + name, bytes));
    }
    return {};
  });
}

Status write_peft_adapter(const std::string& directory, const PeftAdapter& adapter, bool replace, Env& env) {
  return appear(directory, replace, env, [&](const std::string& folder) { return fill_adapter(folder, adapter, env); });
}

}  // namespace retort::model
