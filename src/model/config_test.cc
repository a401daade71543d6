#include "model/config.h"

#include <gtest/gtest.h>

#include "model/gguf.h"
#include "model/weights_fixture.h"

namespace retort::model {
namespace {

Json base() {
  return {{"model_type", "llama"},
          {"architectures", {"LlamaForCausalLM"}},
          {"vocab_size", 49152},
          {"hidden_size", 576},
          {"num_hidden_layers", 30},
          {"num_attention_heads", 9},
          {"num_key_value_heads", 3},
          {"intermediate_size", 1536},
          {"max_position_embeddings", 8192},
          {"rope_theta", 100000},
          {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", true},
          {"hidden_act", "silu"},
          {"bos_token_id", 1},
          {"eos_token_id", 2}};
}

TEST(Config, ReadsBothGenerationsOfConfigFiles) {
  const auto old = parse_config(base());
  ASSERT_TRUE(old.ok()) << old.error().message;
  EXPECT_EQ(old->head_dim, 64);
  EXPECT_EQ(old->rope_theta, 100000.0);
  EXPECT_EQ(old->eos_ids, std::vector<int32_t>{2});
  EXPECT_EQ(parameter_count(*old), 134515008) << "SmolLM2-135M's count by transformers";
  Json json = base();
  json.erase("rope_theta");
  json["rope_parameters"] = {{"rope_theta", 100000.0}, {"rope_type", "default"}};
  json["rope_scaling"] = nullptr;
  json["head_dim"] = 64;
  EXPECT_EQ(*parse_config(json), *old);
  EXPECT_EQ(*parse_config(config_json(*old, DType::F32)), *old) << "what is written is read";
}

TEST(Config, RefusesByNameWhatItWouldComputeWrongly) {
  const std::tuple<const char*, Json, const char*> cases[] = {
      {"model_type", "qwen2", "`model_type` qwen2"},
      {"architectures", {"LlamaForSequenceClassification"}, "LlamaForSequenceClassification"},
      {"hidden_act", "gelu", "`hidden_act` gelu"},
      {"attention_bias", true, "`attention_bias`"},
      {"mlp_bias", true, "`mlp_bias`"},
      {"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8}}, "rope_scaling type llama3 is not supported"},
      {"rope_scaling", {{"type", "linear"}, {"factor", 2}}, "rope_scaling type linear is not supported"},
      {"rope_parameters", {{"rope_type", "yarn"}}, "rope_parameters type yarn is not supported"},
      {"quantization_config", {{"quant_method", "gptq"}}, "gptq"},
      {"vocab_size", 0, "`vocab_size` is 0"},
      {"vocab_size", -5, "`vocab_size` is -5"},
      {"vocab_size", 1ll << 40, "`vocab_size` is 1099511627776"},
      {"vocab_size", "many", "`vocab_size` must be an integer"},
      {"vocab_size", nullptr, "`vocab_size` is missing"},
      {"num_hidden_layers", 1000000, "`num_hidden_layers` is 1000000"},
      {"num_key_value_heads", 2, "num_attention_heads 9 is no multiple of num_key_value_heads 2"},
      {"num_key_value_heads", 18, "num_key_value_heads is 18"},
      {"head_dim", 63, "head_dim 63 is odd"},
      {"head_dim", 1 << 20, "num_attention_heads 9 times head_dim"},
      {"num_attention_heads", 7, "`hidden_size` 576 is no multiple"},
      {"rope_theta", -1, "rope_theta is -1"},
      {"rms_norm_eps", -1, "rms_norm_eps is -1"},
      {"eos_token_id", 49152, "eos_token_id is 49152, but the vocabulary has 49152"},
      {"eos_token_id", {2, "x"}, "`eos_token_id` must be an integer or a list"},
      {"eos_token_id", 1ull << 63, "beyond any vocabulary"},
  };
  for (const auto& [key, value, says] : cases) {
    Json json = base();
    json[key] = value;
    const auto read = parse_config(json);
    ASSERT_FALSE(read.ok()) << says;
    EXPECT_EQ(read.error().code, Code::Invalid);
    EXPECT_NE(read.error().message.find(says), std::string::npos) << read.error().message << "\nwanted: " << says;
  }
}

TEST(Config, GenerationConfigOverridesIds) {
  Config config = *parse_config(base());
  GenerationDefaults defaults;
  const Json json = {{"eos_token_id", {2, 0, 2}},
                     {"pad_token_id", 2},
                     {"temperature", 0.6},
                     {"top_p", 0.95},
                     {"top_k", 20},
                     {"do_sample", true},
                     {"repetition_penalty", nullptr},
                     {"transformers_version", "5"}};
  ASSERT_TRUE(parse_generation_config(json, config, defaults).ok());
  EXPECT_EQ(config.eos_ids, (std::vector<int32_t>{2, 0}));
  EXPECT_EQ(config.bos_id, 1);
  EXPECT_EQ(config.pad_id, 2);
  EXPECT_EQ(defaults.temperature, 0.6);
  EXPECT_EQ(defaults.top_k, 20);
  EXPECT_FALSE(defaults.repetition_penalty.has_value());
  Config again = *parse_config(base());
  GenerationDefaults read;
  ASSERT_TRUE(parse_generation_config(generation_config_json(config, defaults), again, read).ok());
  EXPECT_EQ(again, config);
  EXPECT_EQ(read, defaults);
  EXPECT_FALSE(parse_generation_config({{"top_p", 1.5}}, config, defaults).ok());
  EXPECT_FALSE(parse_generation_config({{"eos_token_id", 99999}}, config, defaults).ok());
}

TEST(Config, FromGgufMetadata) {
  const Config want = fixture::tiny_config(true);
  const auto config_of = [&](const fixture::GgufBuilder& g) -> Result<Config> {
    const std::string bytes = g.bytes();
    const auto file = parse_gguf(bytes, "f");
    EXPECT_TRUE(file.ok());
    return parse_config(file->metadata, true, want.vocab_size);
  };
  const auto good = config_of(fixture::tiny_gguf(want, {}));
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(*good, want) << "1e-5 comes back as 1e-5, not as the float's tail";

  const std::tuple<const char*, uint32_t, const char*> lies[] = {
      {"llama.vocab_size", 41, "`llama.vocab_size` is 41, but token_embd.weight has 40 rows"},
      {"llama.attention.value_length", 16, "`llama.attention.value_length` is 16"},
      {"llama.expert_count", 8, "`llama.expert_count` 8 is not supported"},
      {"llama.attention.key_length", 7, "value"},
      {"tokenizer.ggml.padding_token_id", 40, "`tokenizer.ggml.padding_token_id` is 40"},
  };
  for (const auto& [key, value, says] : lies) {
    fixture::GgufBuilder g = fixture::tiny_gguf(want, {});
    g.u32(key, value);
    const auto read = config_of(g);
    ASSERT_FALSE(read.ok()) << key;
    if (std::string(says) != "value") {
      EXPECT_NE(read.error().message.find(says), std::string::npos) << read.error().message;
    }
  }
  fixture::GgufBuilder scaled = fixture::tiny_gguf(want, {});
  scaled.string("llama.rope.scaling.type", "yarn");
  EXPECT_NE(config_of(scaled).error().message.find("yarn"), std::string::npos);
  fixture::GgufBuilder other;
  other.string("general.architecture", "qwen2");
  EXPECT_NE(config_of(other).error().message.find("`qwen2`"), std::string::npos);
}

}  // namespace
}  // namespace retort::model
