// What `retort train` can be told. Behaviour first, then speed and safety.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"

namespace retort::train {

struct OptimizerOptions {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.01;
  double clip = 1.0;
  template <class V>
  void fields(V&& v) {
    v("lr", lr, "peak learning rate; 0: 5e-5 for full, 3e-4 for LoRA, 2e-3 from scratch", {.low = 0});
    v("beta1", beta1, "AdamW's decay of the first moment", {.low = 0, .high = 0.9999999});
    v("beta2", beta2, "AdamW's decay of the second moment", {.low = 0, .high = 0.9999999});
    v("eps", eps, "AdamW's epsilon", {.low = 0});
    v("weight_decay", weight_decay, "decoupled weight decay of matrices (not of norms and embeddings)", {.low = 0});
    v("clip", clip, "largest global norm of the gradient; 0: no clipping", {.low = 0});
  }
};

struct ScheduleOptions {
  std::string shape = "cosine";
  double warmup = 0.05;
  double decay = 0.2;
  double floor = 0.1;
  template <class V>
  void fields(V&& v) {
    v("shape", shape, "cosine, wsd (warm up, stay, decay) or constant", {.one_of = "cosine, wsd, constant"});
    v("warmup", warmup, "share of the steps that warm up, linearly", {.low = 0, .high = 1});
    v("decay", decay, "wsd: share of the steps that decay, linearly", {.low = 0, .high = 1});
    v("floor", floor, "learning rate at the end, as a share of the peak", {.low = 0, .high = 1});
  }
};

struct LoraOptions {
  int rank = 16;
  double alpha = 32;
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  template <class V>
  void fields(V&& v) {
    v("rank", rank, "rank of the adapters", {.low = 1, .high = 4096});
    v("alpha", alpha, "adapters are scaled by alpha / rank", {.above = 0});
    v("targets", targets, "linears that get adapters");
  }
};

struct ScratchOptions {
  int layers = 4;
  int hidden = 192;
  int heads = 6;
  int kv_heads = 2;
  int ffn = 512;
  int vocab_size = 512;
  int max_positions = 1024;
  double rope_theta = 10000;
  bool tied = true;
  template <class V>
  void fields(V&& v) {
    v("layers", layers, "layers of a student from scratch", {.low = 1, .high = 1'000'000});
    v("hidden", hidden, "width of the residual stream", {.low = 1, .high = 1'000'000});
    v("heads", heads, "attention heads", {.low = 1, .high = 1'000'000});
    v("kv_heads", kv_heads, "key-value heads; divides heads", {.low = 1, .high = 1'000'000});
    v("ffn", ffn, "width of the feed-forward part", {.low = 1, .high = 1'000'000});
    v("vocab_size", vocab_size, "tokens of the tokenizer that is learned from the examples",
      {.low = 1, .high = 10'000'000});
    v("max_positions", max_positions, "longest context", {.low = 1, .high = 100'000'000});
    v("rope_theta", rope_theta, "base of the rotary positions", {.above = 0});
    v("tied", tied, "head and embedding share their weights");
  }
};

struct CheckpointOptions {
  int every_steps = 0;
  double every_s = 300;
  int keep = 1;
  template <class V>
  void fields(V&& v) {
    v("every_steps", every_steps, "steps between checkpoints; 0: by time only", {.low = 0});
    v("every_s", every_s, "seconds between checkpoints; 0: by steps only", {.low = 0});
    v("keep", keep, "checkpoints kept while training", {.low = 1});
  }
};

struct Options {
  std::string method = "full";
  std::string format = "think";
  int max_length = 0;
  int batch_size = 16;
  double epochs = 1;
  int64_t max_steps = 0;
  double max_flops = 0;
  uint64_t seed = 1;
  std::string date = "2026-01-01";
  std::vector<std::string> template_variables;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  LoraOptions lora;
  ScratchOptions scratch;
  int micro_tokens = 2048;
  int threads = 0;
  CheckpointOptions checkpoint;
  template <class V>
  void fields(V&& v) {
    v("method", method, "full (all weights) or lora", {.one_of = "full, lora"});
    v("format", format,
      "think: the thought in <think> marks, then the answer; plain: thought and answer as one text; answer: no "
      "thought",
      {.one_of = "think, plain, answer"});
    v("max_length", max_length,
      "tokens of an example; longer ones are cut at the end and counted; 0: the model's context, at most 2048",
      {.low = 0});
    v("batch_size", batch_size, "examples in a step", {.low = 1});
    v("epochs", epochs, "passes over the examples", {.high = 1e6, .above = 0});
    v("max_steps", max_steps, "steps; above 0 it replaces epochs", {.low = 0, .high = 1e6});
    v("max_flops", max_flops,
      "training FLOPs; above 0 it replaces epochs, so that two runs can be given the same compute",
      {.low = 0, .high = 1e27});
    v("seed", seed, "of the order of examples and of new weights");
    v("date", date,
      "the day that a chat template with a date shows, YYYY-MM-DD; a fixed one, so that equal runs stay equal");
    v("template_variables", template_variables,
      "variables of the chat template, NAME=VALUE (enable_thinking=false); give those that will be asked with");
    v("optimizer", optimizer, "");
    v("schedule", schedule, "");
    v("lora", lora, "");
    v("scratch", scratch, "");
    v("micro_tokens", micro_tokens,
      "tokens that pass through the model at once; changes memory and speed, and results by rounding only", {.low = 1});
    v("threads", threads, "0: all that this process may use; changes results by rounding only",
      {.low = 0, .high = 4096});
    v("checkpoint", checkpoint, "");
  }
};

}  // namespace retort::train
