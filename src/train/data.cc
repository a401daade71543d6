#include "train/data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/options.h"
#include "base/random.h"

namespace retort::train {
namespace {

constexpr uint64_t kShuffleStream = 0x73687566;  // draws of other uses have other streams

}  // namespace

Result<model::ChatSettings> chat_settings(const Options& options) {
  model::ChatSettings settings;
  auto noon = model::noon_of(options.date);
  if (!noon.ok()) return within("date", std::move(noon).error());
  settings.now_us = *noon;
  if (!options.template_variables.empty()) settings.variables = Json::object();
  for (const std::string& one : options.template_variables) {
    if (auto set = apply_set(settings.variables, one, SetAs::Yaml); !set.ok())
      return within("template_variables", std::move(set).error());
  }
  return settings;
}

Answer answer_of(const Example& e, const std::string& format) {
  if (e.reasoning.empty() || format == "answer") return {"", e.content};
  if (format == "plain") return {"", e.reasoning + "\n\n" + e.content};
  return {e.reasoning, e.content};
}

Result<std::vector<Sample>> make_samples(const std::vector<Example>& examples, const TextMaker& text,
                                         const Options& options, DataSummary& summary) {
  std::vector<Sample> samples;
  const auto most = static_cast<size_t>(options.max_length);
  for (const Example& example : examples) {
    ++summary.examples;
    const auto prompt = model::chat_prompt(text.tokenizer, text.chat, example.messages, text.settings);
    if (!prompt.ok()) return within(fmt::format("example {}", example.id), prompt.error());
    const Answer answer = answer_of(example, options.format);
    Sample sample;
    sample.ids = prompt->ids;
    sample.answer = static_cast<int32_t>(sample.ids.size());
    const auto ids = model::answer_ids(text.tokenizer, *prompt, answer.reasoning, answer.content, text.end);
    if (!ids.ok()) return within(fmt::format("example {}", example.id), ids.error());
    sample.ids.insert(sample.ids.end(), ids->begin(), ids->end());
    const size_t length = sample.ids.size();
    if (sample.answer == 0 || static_cast<size_t>(sample.answer) >= std::min(length, most)) {
      ++summary.skipped;
      continue;
    }
    if (length > most) {
      ++summary.cut;
      summary.cut_tokens += static_cast<int64_t>(length - most);
      sample.ids.resize(most);
    }
    summary.tokens += static_cast<int64_t>(sample.ids.size());
    summary.target_tokens += sample.targets();
    samples.push_back(std::move(sample));
  }
  if (samples.empty())
    return fail(Code::Invalid,
                "none of {} examples leaves anything to learn within max_length {}; give examples or raise it",
                summary.examples, options.max_length);
  return samples;
}

Status check_plan(const std::vector<Sample>& samples, const Options& options, const Shape& shape,
                  const LoraShape& lora) {
  const double per_epoch = std::ceil(static_cast<double>(samples.size()) / static_cast<double>(options.batch_size));
  const auto bound = [](double steps, std::string_view name, const auto& value) -> Status {
    if (steps <= static_cast<double>(kMostSteps)) return {};
    return fail(Code::Invalid, "`{}` {} means {:.3g} steps, more than the {} that a training may have; lower it", name,
                value, steps, kMostSteps);
  };
  double flops = 0;  // of one epoch
  for (const Sample& sample : samples)
    flops += training_flops(shape, lora, static_cast<int64_t>(sample.ids.size()), sample.targets());
  const Status by_steps = bound(static_cast<double>(options.max_steps), "max_steps", options.max_steps);
  const Status by_flops = bound(options.max_flops / flops * per_epoch, "max_flops", options.max_flops);
  // Where both are given, the smaller one ends the training.
  if (options.max_steps > 0 && options.max_flops > 0) return by_steps.ok() || by_flops.ok() ? Status() : by_steps;
  if (options.max_steps > 0) return by_steps;
  if (options.max_flops > 0) return by_flops;
  return bound(options.epochs * per_epoch, "epochs", options.epochs);
}

Plan::Plan(std::vector<Sample> samples, const Options& options, const Shape& shape, const LoraShape& lora)
    : samples_(std::move(samples)),
      batch_size_(options.batch_size),
      micro_tokens_(options.micro_tokens),
      seed_(options.seed),
      shape_(shape),
      lora_(lora) {
  const auto count = static_cast<int64_t>(samples_.size());
  per_epoch_ = (count + batch_size_ - 1) / batch_size_;
  const bool bounded = options.max_steps > 0 || options.max_flops > 0;
  limit_ = bounded ? std::numeric_limits<int64_t>::max()
                   : std::max<int64_t>(1, std::llround(options.epochs * static_cast<double>(count)));
  while (steps_ <= kMostSteps) {
    if (options.max_steps > 0 && steps_ >= options.max_steps) break;
    const Step next = step(steps_);
    if (next.micro.empty()) break;
    if (options.max_flops > 0 && steps_ > 0 && flops_ + next.flops > options.max_flops) break;
    ++steps_;
    flops_ += next.flops;
    tokens_ += next.tokens;
  }
}

void Plan::permute(int64_t epoch) {
  if (epoch == epoch_) return;
  order_.resize(samples_.size());
  std::iota(order_.begin(), order_.end(), 0);
  Random random(seed_ ^ (static_cast<uint64_t>(epoch) << 32), kShuffleStream);
  shuffle(order_, random);
  epoch_ = epoch;
}

Step Plan::step(int64_t index) {
  const int64_t epoch = index / per_epoch_, count = static_cast<int64_t>(samples_.size());
  permute(epoch);
  Step out;
  const int64_t begin = index % per_epoch_ * batch_size_;
  const int64_t end = std::min({begin + batch_size_, count, limit_ > epoch * count ? limit_ - epoch * count : 0});
  int64_t used = micro_tokens_;
  for (int64_t i = begin; i < end; ++i) {
    const int32_t at = order_[static_cast<size_t>(i)];
    const Sample& sample = samples_[static_cast<size_t>(at)];
    const auto length = static_cast<int64_t>(sample.ids.size());
    if (out.micro.empty() || used + length > micro_tokens_) {
      out.micro.emplace_back();
      used = 0;
    }
    out.micro.back().push_back(at);
    used += length;
    out.tokens += length;
    out.targets += sample.targets();
    out.flops += training_flops(shape_, lora_, length, sample.targets());
  }
  return out;
}

MicroBatch Plan::micro_batch(const std::vector<int32_t>& samples) const {
  MicroBatch batch;
  batch.starts.push_back(0);
  for (const int32_t at : samples) {
    const Sample& sample = samples_[static_cast<size_t>(at)];
    const auto length = static_cast<int32_t>(sample.ids.size());
    for (int32_t t = 0; t < length; ++t) {
      batch.ids.push_back(sample.ids[static_cast<size_t>(t)]);
      batch.targets.push_back(t + 1 < length && t + 1 >= sample.answer ? sample.ids[static_cast<size_t>(t + 1)] : -1);
    }
    batch.starts.push_back(static_cast<int32_t>(batch.ids.size()));
  }
  return batch;
}

}  // namespace retort::train
