// tokenizer.json in and out. Read with RapidJSON: a vocabulary is one object with up to 200,000 members, which Json's
// insertion-ordered map would search linearly for each.
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "model/tokenizer.h"

namespace retort::model {
namespace {

namespace rj = rapidjson;
using Writer = rj::Writer<rj::StringBuffer>;

constexpr int64_t kMaxId = int64_t{1} << 24;

std::string text_of(const rj::Value& v) { return std::string(v.GetString(), v.GetStringLength()); }

const rj::Value* member(const rj::Value& object, const char* key) {
  if (!object.IsObject()) return nullptr;
  const auto it = object.FindMember(key);
  return it == object.MemberEnd() || it->value.IsNull() ? nullptr : &it->value;
}

Result<bool> flag(const rj::Value& object, const char* key) {
  const rj::Value* v = member(object, key);
  if (v == nullptr) return false;
  if (!v->IsBool()) return fail(Code::Invalid, "`{}` must be true or false", key);
  return v->GetBool();
}

// A small section as Json; the vocabulary never passes here.
Result<Json> section(const rj::Value& root, const char* key) {
  const rj::Value* v = member(root, key);
  if (v == nullptr) return Json(nullptr);
  rj::StringBuffer buffer;
  rj::Writer<rj::StringBuffer> writer(buffer);
  // Writing recurses; parse_json bounds the depth, so bound it here too.
  std::vector<std::pair<const rj::Value*, int>> open{{v, 0}};
  while (!open.empty()) {
    const auto [value, depth] = open.back();
    open.pop_back();
    if (depth > kMaxJsonDepth) return fail(Code::Invalid, "`{}` nests deeper than {}", key, kMaxJsonDepth);
    if (value->IsArray()) {
      for (const auto& child : value->GetArray()) open.emplace_back(&child, depth + 1);
    } else if (value->IsObject()) {
      for (const auto& child : value->GetObject()) open.emplace_back(&child.value, depth + 1);
    }
  }
  v->Accept(writer);
  auto parsed = parse_json(std::string_view(buffer.GetString(), buffer.GetSize()));
  if (!parsed.ok()) return within(key, std::move(parsed).error());
  return parsed;
}

Status read_vocabulary(const rj::Value& model, TokenizerSpec& spec) {
  const rj::Value* vocab = member(model, "vocab");
  if (vocab == nullptr || !vocab->IsObject()) return fail(Code::Invalid, "model.vocab must be an object of token: id");
  int64_t largest = -1;
  for (const auto& entry : vocab->GetObject()) {
    if (!entry.value.IsInt64() || entry.value.GetInt64() < 0 || entry.value.GetInt64() >= kMaxId)
      return fail(Code::Invalid, "model.vocab: the id of `{}` is not an integer from 0 to {}", text_of(entry.name),
                  kMaxId - 1);
    largest = std::max(largest, entry.value.GetInt64());
  }
  // A lying id must not make a table a thousand times the file's size.
  if (largest > 16 * static_cast<int64_t>(vocab->MemberCount()) + 65536)
    return fail(Code::Invalid, "model.vocab: id {} is far beyond its {} entries", largest, vocab->MemberCount());
  spec.tokens.resize(static_cast<size_t>(largest + 1));
  for (const auto& entry : vocab->GetObject()) {
    std::string& token = spec.tokens[static_cast<size_t>(entry.value.GetInt64())];
    if (!token.empty())
      return fail(Code::Invalid, "model.vocab: `{}` and `{}` have the same id {}", token, text_of(entry.name),
                  entry.value.GetInt64());
    token = text_of(entry.name);
  }
  return {};
}

Status read_merges(const rj::Value& model, TokenizerSpec& spec) {
  const rj::Value* merges = member(model, "merges");
  if (merges == nullptr || !merges->IsArray()) return fail(Code::Invalid, "model.merges must be a list");
  spec.merges.reserve(merges->Size());
  for (const auto& m : merges->GetArray()) {
    if (m.IsString()) {
      const std::string both = text_of(m);
      const size_t space = both.find(' ');
      if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos)
        return fail(Code::Invalid, "model.merges[{}]: `{}` is not two tokens", spec.merges.size(), both);
      spec.merges.emplace_back(both.substr(0, space), both.substr(space + 1));
    } else if (m.IsArray() && m.Size() == 2 && m[0].IsString() && m[1].IsString()) {
      spec.merges.emplace_back(text_of(m[0]), text_of(m[1]));
    } else {
      return fail(Code::Invalid, "model.merges[{}] is not two tokens", spec.merges.size());
    }
  }
  return {};
}

Status read_model(const rj::Value& root, TokenizerSpec& spec) {
  const rj::Value* model = member(root, "model");
  if (model == nullptr || !model->IsObject()) return fail(Code::Invalid, "`model` is missing: not a tokenizer.json");
  const rj::Value* type = member(*model, "type");
  if (type != nullptr && (!type->IsString() || text_of(*type) != "BPE"))
    return fail(Code::Invalid, "model type `{}` is not supported; retort reads byte-level BPE",
                type->IsString() ? text_of(*type) : "?");
  RETORT_ASSIGN(const bool byte_fallback, flag(*model, "byte_fallback"));
  if (byte_fallback)
    return fail(Code::Invalid,
                "model.byte_fallback (SentencePiece style BPE) is not supported; retort reads byte-level BPE");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const rj::Value* v = member(*model, key);
    if (v != nullptr && (!v->IsString() || v->GetStringLength() > 0))
      return fail(Code::Invalid, "model.{} is not supported; retort reads byte-level BPE", key);
  }
  if (const rj::Value* dropout = member(*model, "dropout");
      dropout != nullptr && (!dropout->IsNumber() || dropout->GetDouble() != 0))
    return fail(Code::Invalid, "model.dropout is not supported: it makes ids random");
  if (const rj::Value* unk = member(*model, "unk_token"); unk != nullptr) {
    if (!unk->IsString()) return fail(Code::Invalid, "model.unk_token must be a string");
    spec.unk_token = text_of(*unk);
  }
  RETORT_ASSIGN(spec.fuse_unk, flag(*model, "fuse_unk"));
  RETORT_ASSIGN(spec.ignore_merges, flag(*model, "ignore_merges"));
  RETORT_TRY(read_vocabulary(*model, spec));
  return read_merges(*model, spec);
}

Status read_added(const rj::Value& root, TokenizerSpec& spec) {
  const rj::Value* added = member(root, "added_tokens");
  if (added == nullptr) return {};
  if (!added->IsArray()) return fail(Code::Invalid, "`added_tokens` must be a list");
  for (const auto& entry : added->GetArray()) {
    const rj::Value* content = member(entry, "content");
    if (content == nullptr || !content->IsString())
      return fail(Code::Invalid, "added_tokens[{}]: `content` is missing", spec.added.size());
    AddedToken token;
    token.content = text_of(*content);
    RETORT_ASSIGN(token.special, flag(entry, "special"));
    RETORT_ASSIGN(token.single_word, flag(entry, "single_word"));
    RETORT_ASSIGN(token.lstrip, flag(entry, "lstrip"));
    RETORT_ASSIGN(token.rstrip, flag(entry, "rstrip"));
    RETORT_ASSIGN(token.normalized, flag(entry, "normalized"));
    spec.added.push_back(std::move(token));
  }
  return {};
}

void put(Writer& writer, std::string_view text) { writer.String(text.data(), static_cast<rj::SizeType>(text.size())); }

void put_raw(Writer& writer, const char* key, const Json& value) {
  writer.Key(key);
  const std::string text = to_text(value);
  writer.RawValue(text.data(), text.size(), value.is_null() ? rj::kNullType : rj::kObjectType);
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view text, std::string bos_token, std::string eos_token) {
  rj::Document root;
  root.Parse<rj::kParseIterativeFlag | rj::kParseValidateEncodingFlag>(text.data(), text.size());
  if (root.HasParseError())
    return fail(Code::Invalid, "tokenizer.json is not JSON at byte {}: {}", root.GetErrorOffset(),
                rj::GetParseError_En(root.GetParseError()));
  TokenizerSpec spec;
  spec.bos_token = std::move(bos_token);
  spec.eos_token = std::move(eos_token);
  RETORT_ASSIGN(spec.normalizer, section(root, "normalizer"));
  RETORT_ASSIGN(spec.pre_tokenizer, section(root, "pre_tokenizer"));
  RETORT_ASSIGN(spec.post_processor, section(root, "post_processor"));
  RETORT_ASSIGN(spec.decoder, section(root, "decoder"));
  RETORT_TRY(read_model(root, spec));
  RETORT_TRY(read_added(root, spec));
  return make(std::move(spec));
}

std::string Tokenizer::to_json() const {
  const TokenizerSpec& s = spec();
  rj::StringBuffer buffer;
  Writer writer(buffer);
  writer.StartObject();
  writer.Key("version");
  writer.String("1.0");
  writer.Key("truncation");
  writer.Null();
  writer.Key("padding");
  writer.Null();
  writer.Key("added_tokens");
  writer.StartArray();
  for (const AddedToken& token : s.added) {
    writer.StartObject();
    writer.Key("id");
    writer.Int(id_of(token.content).value_or(-1));
    writer.Key("content");
    put(writer, token.content);
    const std::pair<const char*, bool> flags[] = {{"single_word", token.single_word},
                                                  {"lstrip", token.lstrip},
                                                  {"rstrip", token.rstrip},
                                                  {"normalized", token.normalized},
                                                  {"special", token.special}};
    for (const auto& [key, value] : flags) {
      writer.Key(key);
      writer.Bool(value);
    }
    writer.EndObject();
  }
  writer.EndArray();
  put_raw(writer, "normalizer", s.normalizer);
  put_raw(writer, "pre_tokenizer", s.pre_tokenizer);
  put_raw(writer, "post_processor", s.post_processor);
  put_raw(writer, "decoder", s.decoder);
  writer.Key("model");
  writer.StartObject();
  writer.Key("type");
  writer.String("BPE");
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    writer.Key(key);
    writer.Null();
  }
  writer.Key("unk_token");
  if (s.unk_token.empty())
    writer.Null();
  else
    put(writer, s.unk_token);
  writer.Key("fuse_unk");
  writer.Bool(s.fuse_unk);
  writer.Key("byte_fallback");
  writer.Bool(false);
  writer.Key("ignore_merges");
  writer.Bool(s.ignore_merges);
  writer.Key("vocab");
  writer.StartObject();
  for (size_t i = 0; i < s.tokens.size(); ++i) {
    if (s.tokens[i].empty()) continue;
    writer.Key(s.tokens[i].data(), static_cast<rj::SizeType>(s.tokens[i].size()));
    writer.Int(static_cast<int>(i));
  }
  writer.EndObject();
  writer.Key("merges");
  writer.StartArray();
  for (const auto& [left, right] : s.merges) {
    writer.StartArray();
    put(writer, left);
    put(writer, right);
    writer.EndArray();
  }
  writer.EndArray();
  writer.EndObject();
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

std::string Tokenizer::config_json(std::string_view chat_template) const {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  if (!bos_token().empty()) config["bos_token"] = std::string(bos_token());
  if (!eos_token().empty()) {
    config["eos_token"] = std::string(eos_token());
    config["pad_token"] = std::string(eos_token());
  }
  if (!spec().unk_token.empty()) config["unk_token"] = spec().unk_token;
  if (!chat_template.empty()) config["chat_template"] = std::string(chat_template);
  return config.dump(2) + "\n";
}

}  // namespace retort::model
