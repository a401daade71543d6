// From examples to micro-batches: rendering, cutting, masking, and the plan of which example goes into which step. The
// plan is a pure function of the lengths, the options and the seed, so a run resumes from a step number alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/chat_turn.h"
#include "record/example.h"
#include "record/stream.h"
#include "train/backend.h"
#include "train/options.h"

namespace retort::train {

// One example as tokens. Only the tokens from `answer` on are in the loss.
struct Sample {
  std::vector<int32_t> ids;
  int32_t answer = 0;  // index of the first token of the assistant's turn

  int64_t targets() const { return static_cast<int64_t>(ids.size()) - answer; }
};

struct DataSummary {
  int64_t examples = 0;    // read
  int64_t cut = 0;         // longer than max_length: cut at the end
  int64_t cut_tokens = 0;  // lost by that
  int64_t skipped = 0;     // prompts that fill max_length by themselves: nothing would be left to learn
  int64_t tokens = 0;      // of the kept samples
  int64_t target_tokens = 0;
};

// What makes ids of a chat, as the engine will (model/chat_turn.h).
struct TextMaker {
  model::Tokenizer tokenizer;
  model::ChatTemplate chat;
  model::ChatSettings settings;
  int32_t end = -1;  // the token that ends the assistant's turn
};

// What the chat template is given, out of `date` and `template_variables`. Errors: Invalid.
Result<model::ChatSettings> chat_settings(const Options& options);

// What of an example is learned as thought and what as content.
struct Answer {
  std::string reasoning, content;
};
Answer answer_of(const Example& example, const std::string& format);

// All examples, in their order. Prompt and answer are encoded apart, as at inference. Errors: Invalid where nothing is
// left to train on.
Result<std::vector<Sample>> make_samples(const std::vector<Example>& examples, const TextMaker& text,
                                         const Options& options, DataSummary& summary);

struct Step {
  std::vector<std::vector<int32_t>> micro;  // samples of each micro-batch
  int64_t tokens = 0, targets = 0;
  double flops = 0;
};

// Invalid, naming the option to lower, where a plan for `options` would have more steps than kMostSteps: each is kept
// in memory and in every checkpoint's log, so a longer plan is a mistyped
// one: on one machine a million are months.
inline constexpr int64_t kMostSteps = 1'000'000;
Status check_plan(const std::vector<Sample>& samples, const Options& options, const Shape& shape,
                  const LoraShape& lora);

// The steps of a whole run: each epoch is a new permutation of the samples (seeded by seed and epoch), cut into batches
// of batch_size (the last of an epoch may be smaller), each batch into micro-batches of at most micro_tokens tokens (a
// longer sample is alone). Ends after max_steps, or before max_flops would be passed (at least one step), or after
// `epochs` (a fraction takes that share of the last permutation). Precondition: check_plan() passed.
class Plan {
 public:
  Plan(std::vector<Sample> samples, const Options& options, const Shape& shape, const LoraShape& lora);

  int64_t steps() const { return steps_; }
  double flops() const { return flops_; }
  int64_t tokens() const { return tokens_; }
  // `index` from 0.
  Step step(int64_t index);
  MicroBatch micro_batch(const std::vector<int32_t>& samples) const;
  const std::vector<Sample>& samples() const { return samples_; }

 private:
  void permute(int64_t epoch);
  std::vector<Sample> samples_;
  int64_t batch_size_, micro_tokens_, per_epoch_ = 0, steps_ = 0, tokens_ = 0;
  uint64_t seed_;
  Shape shape_;
  LoraShape lora_;
  double flops_ = 0;
  int64_t limit_ = 0;  // samples of all epochs together
  int64_t epoch_ = -1;
  std::vector<int32_t> order_;
};

}  // namespace retort::train
