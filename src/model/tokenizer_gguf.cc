// A tokenizer from GGUF metadata. GGUF names its pre-tokenizer instead of describing it; the table below says what each
// name means, in the terms of tokenizer.json. The deepseek rows follow DeepSeek's own tokenizer.json, as llama.cpp
// does.
#include <algorithm>

#include "model/pretokenizer.h"
#include "model/tokenizer_load.h"

namespace retort::model {
namespace {

constexpr std::string_view kDeepseekHan = "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+";
constexpr std::string_view kDeepseekLetters =
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-"
    "\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}"
    "\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}"
    "-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-"
    "\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-"
    "\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-"
    "\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}"
    "\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-"
    "\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}"
    "\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-"
    "\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+";
constexpr std::string_view kDeepseekMarks =
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+";

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
