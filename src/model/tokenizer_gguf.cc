// A tokenizer from GGUF metadata. GGUF names its pre-tokenizer instead of describing it; the table below says what each
// name means, in the terms of tokenizer.json. The deepseek rows follow DeepSeek's own tokenizer.json, as llama.cpp
// does.
#include <algorithm>

#include "model/pretokenizer.h"
#include "model/tokenizer_load.h"

namespace retort::model {
namespace {

constexpr std::string_view kDeepseekHan = "[一-龥ࠀ-一가-퟿]+";
constexpr std::string_view kDeepseekLetters =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-"
    "ῄῆ-ῌῐ-ΐῖ-Ίῠ-"
    "Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
constexpr std::string_view kDeepseekMarks = "\\s?[!-/:-~！-／：-～‘-‟　-。]+";

enum class Kind { Gpt2, DigitsGpt2, Llama3, Qwen2, DeepseekLlm, DeepseekCoder };

struct PreName {
  std::string_view name;
  Kind kind;
};
constexpr PreName kPreNames[] = {
    {"gpt-2", Kind::Gpt2},
    {"phi-2", Kind::Gpt2},
    {"olmo", Kind::Gpt2},
    {"mpt", Kind::Gpt2},
    {"smollm", Kind::DigitsGpt2},
    {"starcoder", Kind::DigitsGpt2},
    {"refact", Kind::DigitsGpt2},
    {"command-r", Kind::DigitsGpt2},
    {"codeshell", Kind::DigitsGpt2},
    {"llama-bpe", Kind::Llama3},
    {"llama3", Kind::Llama3},
    {"llama-v3", Kind::Llama3},
    {"falcon3", Kind::Llama3},
    {"smaug-bpe", Kind::Llama3},
    {"dbrx", Kind::Llama3},
    {"qwen2", Kind::Qwen2},
    {"deepseek-r1-qwen", Kind::Qwen2},
    {"deepseek-llm", Kind::DeepseekLlm},
    {"deepseek-coder", Kind::DeepseekCoder},
};

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}
Json digits() { return {{"type", "Digits"}, {"individual_digits", true}}; }
Json split_at(std::string_view regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", std::string(regex)}}}, {"behavior", "Isolated"}, {"invert", false}};
}
Json sequence(std::vector<Json> steps) { return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}; }

Json pre_tokenizer_of(Kind kind) {
  switch (kind) {
    case Kind::Gpt2: return byte_level(true);
    case Kind::DigitsGpt2: return sequence({digits(), byte_level(true)});
    case Kind::Llama3: return sequence({split_at(kLlama3Pattern), byte_level(false)});
    case Kind::Qwen2: return sequence({split_at(kQwen2Pattern), byte_level(false)});
    case Kind::DeepseekLlm:
      return sequence({split_at("[\r\n]"), split_at(kDeepseekLetters), split_at(kDeepseekMarks), split_at("\\s+$"),
                       split_at(kDeepseekHan), split_at("\\p{N}+"), byte_level(false)});
    case Kind::DeepseekCoder:
      return sequence({split_at("[\r\n]"), split_at("\\s?\\p{L}+"), split_at("\\s?\\p{P}+"), split_at(kDeepseekHan),
                       digits(), byte_level(false)});
  }
  return nullptr;
}

// BOS and EOS around the text, as TemplateProcessing says it.
Json affixes(const GgufVocabulary& v) {
  Json single = Json::array(), specials = Json::object();
  const auto add = [&](int32_t id) {
    const std::string& token = v.tokens[static_cast<size_t>(id)];
    single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
    specials[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
  };
  if (v.add_bos) add(v.bos_id);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  if (v.add_eos) add(v.eos_id);
  Json pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

}  // namespace

Result<Tokenizer> tokenizer_from_gguf(GgufVocabulary v) {
  if (v.model != "gpt2")
    return fail(Code::Invalid, "tokenizer.ggml.model `{}` is not supported; retort reads byte-level BPE (`gpt2`)",
                v.model);
  const auto* row =
      std::find_if(std::begin(kPreNames), std::end(kPreNames), [&](const PreName& p) { return p.name == v.pre; });
  if (row == std::end(kPreNames)) {
    std::string names;
    for (const PreName& p : kPreNames) names += (names.empty() ? "" : ", ") + std::string(p.name);
    return fail(Code::Invalid, "tokenizer.ggml.pre `{}` is not supported; known are {}", v.pre, names);
  }
  const int64_t count = static_cast<int64_t>(v.tokens.size());
  if (!v.token_types.empty() && v.token_types.size() != v.tokens.size())
    return fail(Code::Corrupt, "tokenizer.ggml.token_type has {} entries for {} tokens", v.token_types.size(), count);
  for (const int32_t id : {v.bos_id, v.eos_id}) {
    if (id >= count) return fail(Code::Corrupt, "tokenizer.ggml: special token id {} is past the {} tokens", id, count);
  }
  v.add_bos = v.add_bos && v.bos_id >= 0;
  v.add_eos = v.add_eos && v.eos_id >= 0;
  TokenizerSpec spec;
  if (row->kind == Kind::Qwen2) spec.normalizer = {{"type", "NFC"}};
  spec.ignore_merges = row->kind == Kind::Llama3;
  spec.pre_tokenizer = pre_tokenizer_of(row->kind);
  spec.post_processor = affixes(v);
  spec.decoder = byte_level(true);
  for (size_t i = 0; i < v.token_types.size(); ++i) {
    const int32_t type = v.token_types[i];
    if (type != 3 && type != 4) continue;  // control, user-defined
    AddedToken token;
    token.content = v.tokens[i];
    token.special = type == 3;
    spec.added.push_back(std::move(token));
  }
  for (const std::string& merge : v.merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos) return fail(Code::Corrupt, "tokenizer.ggml.merges: `{}` is not two tokens", merge);
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  if (v.bos_id >= 0) spec.bos_token = v.tokens[static_cast<size_t>(v.bos_id)];
  if (v.eos_id >= 0) spec.eos_token = v.tokens[static_cast<size_t>(v.eos_id)];
  spec.tokens = std::move(v.tokens);
  return Tokenizer::make(std::move(spec));
}

}  // namespace retort::model
