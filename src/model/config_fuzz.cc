// config.json and generation_config.json (a zero byte between them): a config that is accepted is within every bound,
// and written it reads back as itself.
#include "model/config.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  const std::string config =
      R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":49152,"hidden_size":576,"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,"head_dim":64,"intermediate_size":1536,"hidden_act":"silu","rope_theta":100000,"rope_scaling":null,"rms_norm_eps":1e-05,"max_position_embeddings":8192,"tie_word_embeddings":true,"attention_bias":false,"mlp_bias":false,"bos_token_id":1,"eos_token_id":[2,0],"pad_token_id":2,"torch_dtype":"bfloat16"})";
  const std::string generation =
      R"({"do_sample":true,"temperature":0.6,"top_p":0.95,"top_k":50,"repetition_penalty":1.1,"max_new_tokens":100,"eos_token_id":2,"bos_token_id":1,"pad_token_id":null})";
  return {config + '\0' + generation, config,
          R"({"model_type":"llama","rope_parameters":{"rope_theta":10000.0,"rope_type":"default"}})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  std::string_view input = fuzz::text_of(data, size);
  const auto json = parse_json(fuzz::take_until(input, '\0'));
  if (!json.ok()) return 0;
  auto config = model::parse_config(*json);
  if (!config.ok()) {
    fuzz::check_refusal(config.error());
    return 0;
  }
  model::GenerationDefaults defaults;
  if (const auto wishes = parse_json(input); wishes.ok()) {
    if (const Status status = model::parse_generation_config(*wishes, *config, defaults); !status.ok()) {
      fuzz::check_refusal(status.error());
      return 0;
    }
  }
  RETORT_CHECK(model::check(*config).ok());
  RETORT_CHECK(model::parameter_count(*config) > 0);
  auto again = model::parse_config(model::config_json(*config, model::DType::F32));
  RETORT_CHECK(again.ok());
  model::GenerationDefaults read;
  RETORT_CHECK(model::parse_generation_config(model::generation_config_json(*config, defaults), *again, read).ok());
  RETORT_CHECK(*again == *config && read == defaults);
  return 0;
}
