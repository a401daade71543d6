// Student: what is trained, before and after: configuration, text parts and weights as one flat vector; from a base
// model, or new. And the way out: a Hugging Face directory, with a PEFT adapter beside it for LoRA.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "model/hf_directory.h"
#include "record/example.h"
#include "train/data.h"
#include "train/layout.h"
#include "train/options.h"

namespace retort::train {

struct Student {
  TextMaker maker;
  model::Config config;
  model::GenerationDefaults generation;
  model::TextFiles text;
  std::vector<float> weights;  // by model_layout(shape(config))
  std::string fingerprint;     // of where it starts: the base's content, or the scratch options and tokenizer
};

Shape shape(const model::Config& config);

// The model at `path` (see model::load_model), dequantised to fp32. Errors: load_model's; Invalid without a chat
// template.
Result<Student> load_student(const Options& options, const std::string& path);

// A new model: normal(0, 0.02), the projections into the residual stream scaled by 1 / sqrt(2 layers) (Radford et al.,
// GPT-2), norms 1; a function of `options.seed` alone. `tokenizer`: a model, folder or tokenizer.json to take the
// tokenizer (and chat template, where it has one) from; "": learned from the examples.
Result<Student> new_student(const Options& options, const std::string& tokenizer, const std::vector<Example>& examples,
                            Env& env);

// Adds the adapters to the weights: W + alpha / rank * B A.
void merge(std::span<float> weights, const Shape& shape, std::span<const float> adapters, const LoraShape& lora);

// The directory's content; its tensors are views of `weights`, which must outlive it.
model::HfDirectory directory(const Student& student, std::span<const float> weights);
model::PeftAdapter adapter(const Shape& shape, const LoraShape& lora, std::span<const float> adapters,
                           const std::string& base);

}  // namespace retort::train
