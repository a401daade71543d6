#include "model/tokenizer_load.h"

#include <filesystem>

#include "model/gguf.h"
#include "model/model.h"

namespace retort::model {
namespace {

namespace fs = std::filesystem;

bool ends_with(const std::string& text, std::string_view tail) {
  return text.size() >= tail.size() && std::string_view(text).substr(text.size() - tail.size()) == tail;
}

Result<GgufVocabulary> vocabulary_of(const GgufMetadata& m) {
  GgufVocabulary v;
  RETORT_ASSIGN(v.model, m.get_string("tokenizer.ggml.model", ""));
  RETORT_ASSIGN(v.pre, m.get_string("tokenizer.ggml.pre", ""));
  RETORT_ASSIGN(const auto tokens, m.get_strings("tokenizer.ggml.tokens"));
  v.tokens.assign(tokens.begin(), tokens.end());
  RETORT_ASSIGN(const auto types, m.get_ints("tokenizer.ggml.token_type"));
  v.token_types.assign(types.begin(), types.end());
  RETORT_ASSIGN(const auto merges, m.get_strings("tokenizer.ggml.merges"));
  v.merges.assign(merges.begin(), merges.end());
  const auto id = [&](const char* key) -> Result<int32_t> {
    RETORT_ASSIGN(const int64_t value, m.get_int(key, -1));
    return value < 0 || value > INT32_MAX ? -1 : static_cast<int32_t>(value);
  };
  RETORT_ASSIGN(v.bos_id, id("tokenizer.ggml.bos_token_id"));
  RETORT_ASSIGN(v.eos_id, id("tokenizer.ggml.eos_token_id"));
  RETORT_ASSIGN(v.add_bos, m.get_bool("tokenizer.ggml.add_bos_token", false));
  RETORT_ASSIGN(v.add_eos, m.get_bool("tokenizer.ggml.add_eos_token", false));
  return v;
}

// A token in tokenizer_config.json is a string or an object with `content`.
std::string token_in(const Json& config, const char* key) {
  const Json* value = find(config, key);
  if (value != nullptr && value->is_object()) value = find(*value, "content");
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

// tokenizer_config.json's chat_template: text, or a list of named ones, of which `default` counts.
std::string template_in(const Json& config) {
  const Json* value = find(config, "chat_template");
  if (value == nullptr) return "";
  if (value->is_string()) return value->get<std::string>();
  if (value->is_array()) {
    for (const Json& entry : *value) {
      const Json* name = find(entry, "name");
      const Json* text = find(entry, "template");
      if (name != nullptr && *name == "default" && text != nullptr && text->is_string())
        return text->get<std::string>();
    }
  }
  return "";
}

Result<Json> config_beside(const fs::path& folder, Env& env) {
  const std::string path = (folder / "tokenizer_config.json").string();
  if (!env.exists(path)) return Json::object();
  RETORT_ASSIGN(const std::string text, read_file(env, path, kMaxTokenizerFile));
  auto json = parse_json(text);
  if (!json.ok()) return within(path, std::move(json).error());
  return json;
}

Result<std::string> template_beside(const fs::path& folder, const Json& config, Env& env) {
  const std::string path = (folder / "chat_template.jinja").string();
  if (env.exists(path)) return read_file(env, path, kMaxTemplateFile);
  return template_in(config);
}

struct Place {
  bool gguf = false;
  std::string file;  // the GGUF or the tokenizer.json
  fs::path folder;
};

Result<Place> find_place(const std::string& path, Env& env) {
  if (ends_with(path, ".json")) return Place{false, path, fs::path(path).parent_path()};
  if (env.is_directory(path) && env.exists((fs::path(path) / "tokenizer.json").string()))
    return Place{false, (fs::path(path) / "tokenizer.json").string(), path};
  RETORT_ASSIGN(const ModelPath resolved, resolve_model(path));
  if (resolved.kind == ModelPath::Kind::Gguf) return Place{true, resolved.path, {}};
  return Place{false, (fs::path(resolved.path) / "tokenizer.json").string(), resolved.path};
}

}  // namespace

Result<TextParts> load_text(const std::string& path, Env& env) {
  RETORT_ASSIGN(const Place place, find_place(path, env));
  if (place.gguf) {
    RETORT_ASSIGN(const Gguf gguf, read_gguf(place.file));
    auto vocabulary = vocabulary_of(gguf.metadata);
    if (!vocabulary.ok()) return within(place.file, std::move(vocabulary).error());
    auto tokenizer = tokenizer_from_gguf(std::move(*vocabulary));
    if (!tokenizer.ok()) return within(place.file, std::move(tokenizer).error());
    RETORT_ASSIGN(std::string source, gguf.metadata.get_string("tokenizer.chat_template", ""));
    return TextParts{std::move(*tokenizer), std::move(source)};
  }
  RETORT_ASSIGN(const std::string text, read_file(env, place.file, kMaxTokenizerFile));
  RETORT_ASSIGN(const Json config, config_beside(place.folder, env));
  auto tokenizer = Tokenizer::from_json(text, token_in(config, "bos_token"), token_in(config, "eos_token"));
  if (!tokenizer.ok()) return within(place.file, std::move(tokenizer).error());
  RETORT_ASSIGN(std::string source, template_beside(place.folder, config, env));
  return TextParts{std::move(*tokenizer), std::move(source)};
}

Result<std::string> load_chat_template(const std::string& path, Env& env) {
  auto place = find_place(path, env);
  if (!place.ok() && env.is_directory(path)) place = Place{false, "", path};
  if (!place.ok()) return std::move(place).error();
  if (place->gguf) {
    RETORT_ASSIGN(const Gguf gguf, read_gguf(place->file));
    return gguf.metadata.get_string("tokenizer.chat_template", "");
  }
  RETORT_ASSIGN(const Json config, config_beside(place->folder, env));
  return template_beside(place->folder, config, env);
}

}  // namespace retort::model
