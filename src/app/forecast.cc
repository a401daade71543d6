#include "app/forecast.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_set>

#include "app/teacher.h"
#include "base/task_pool.h"
#include "kernels/layout.h"
#include "kernels/matrix.h"
#include "model/chat_template.h"
#include "model/model.h"
#include "model/tokenizer_load.h"
#include "record/prompt.h"
#include "record/stream.h"

namespace retort::app {
namespace {

// Shares of the products' rate that whole steps reach, measured on students of 1 and 135 million weights: the rest is
// attention, norms, the optimizer and waiting.
constexpr double kTrainShare = 0.6, kAnswerShare = 0.6;
constexpr int kReadRows = 256;  // tokens that are read, or trained on, at once
// An answer's length where only its bound is known.
constexpr double kLowShare = 0.25, kTypicalShare = 0.5;
// Around the length of what a student learned from.
constexpr double kShorter = 0.7, kLonger = 1.5;
constexpr uint16_t kOneF16 = 0x3c00;
constexpr size_t kFewestRounds = 9;  // of a measurement

std::string joined(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) text += message.content;
  return text;
}

SampleText text_of(const std::string& line) {
  SampleText text;
  const auto json = parse_json(line);
  if (!json.ok()) return text;
  Prompt prompt;
  if (decode(*json, prompt).ok()) text.question = joined(prompt.messages);
  for (const char* key : {"reasoning", "content"})
    if (const auto part = get_string(*json, key, ""); part.ok()) text.answer += *part;
  return text;
}

Span measure(int width, int ffn, int rows, bool integer) {
  TaskPool pool;
  const auto weights = integer ? kernels::Matrix::pack_int8(
                                     kernels::MatrixKind::Int8, ffn, width,
                                     [&](int, const kernels::Int8Row& row) {
                                       std::fill(row.q, row.q + width, int8_t{1});
                                       std::fill(row.scales, row.scales + width / kernels::kBlock, kOneF16);
                                     },
                                     pool)
                               : kernels::Matrix::pack_f32(
                                     ffn, width, [&](int, float* row) { std::fill(row, row + width, 1.0f); }, pool);
  std::vector<float> x(static_cast<size_t>(rows) * static_cast<size_t>(width), 1.0f),
      y(static_cast<size_t>(rows) * static_cast<size_t>(ffn));
  kernels::Activations scratch;
  const kernels::Product product{&weights, y.data(), ffn};
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const double operations = 2.0 * rows * width * ffn;
  std::vector<double> times;  // seconds; the first one, which also wakes the threads, is left out
  kernels::linear(pool, x.data(), width, rows, {&product, 1}, scratch);
  const auto start = now();
  while (times.size() < kFewestRounds || now() - start < std::chrono::milliseconds(200)) {
    const auto began = now();
    kernels::linear(pool, x.data(), width, rows, {&product, 1}, scratch);
    times.push_back(std::chrono::duration<double>(now() - began).count());
  }
  std::sort(times.begin(), times.end());
  return {times.front() / operations, times[times.size() / 2] / operations};  // the best, and the median
}

}  // namespace

Expected expect_texts(const std::vector<SampleText>& texts) {
  Expected out;
  std::unordered_set<std::string_view> questions;
  for (const SampleText& text : texts) questions.insert(text.question);
  out.records = static_cast<double>(texts.size());
  out.prompts = static_cast<double>(questions.size());
  const size_t stride = texts.size() / kForecastSample + 1;
  for (size_t i = 0; i < texts.size(); i += stride) out.sample.push_back(texts[i]);
  return out;
}

void add_expected(Expected& sum, const Expected& more) {
  // Samples in the files' proportions: the larger share loses every other text until they fit.
  const double all = sum.records + more.records;
  const auto thin = [&](std::vector<SampleText>& texts, double records) {
    const size_t most = static_cast<size_t>(kForecastSample * (all > 0 ? records / all : 0)) + 1;
    if (texts.size() <= most) return;
    std::vector<SampleText> kept;
    for (size_t i = 0; i < most; ++i) kept.push_back(texts[i * texts.size() / most]);
    texts = std::move(kept);
  };
  std::vector<SampleText> others = more.sample;
  thin(sum.sample, sum.records);
  thin(others, more.records);
  sum.sample.insert(sum.sample.end(), others.begin(), others.end());
  sum.records += more.records;
  sum.prompts += more.prompts;
}

Result<Expected> expect_file(const StepContext& context, const std::string& path, int64_t limit) {
  Expected found;
  if (context.env.exists(path)) {
    RETORT_ASSIGN(const auto lines, open_lines(path));
    std::vector<SampleText> texts;
    for (;;) {
      RETORT_ASSIGN(const auto line, lines->next());
      if (!line || (limit > 0 && static_cast<int64_t>(texts.size()) >= limit)) break;
      texts.push_back(text_of(*line));
    }
    return expect_texts(texts);
  }
  if (const auto it = context.expected.find(path); it != context.expected.end()) found = it->second;
  if (limit > 0 && found.records > static_cast<double>(limit)) {
    found.prompts *= static_cast<double>(limit) / found.records;
    found.records = static_cast<double>(limit);
  }
  return found;
}

ExpectedModel model_of(const model::Config& c) {
  const double d = c.hidden_size, q = static_cast<double>(c.heads) * c.head_dim,
               kv = static_cast<double>(c.kv_heads) * c.head_dim;
  ExpectedModel model;
  model.parameters = c.layers * (d * (2 * q + 2 * kv) + 3 * d * c.ffn_size) + d * c.vocab_size;
  model.width = c.hidden_size;
  model.ffn = c.ffn_size;
  return model;
}

Result<ExpectedModel> expect_model(const StepContext& context, const std::string& path) {
  if (const auto it = context.expected.find(path); it != context.expected.end()) return it->second.model;
  if (!context.env.exists(path)) return ExpectedModel();
  RETORT_ASSIGN(const auto weights, model::load_weights(path));
  RETORT_ASSIGN(const model::ModelPath source, model::resolve_model(path));
  ExpectedModel model = model_of(weights.config);
  model.text_from = path;
  model.integer = source.kind == model::ModelPath::Kind::Gguf;
  return model;
}

Result<TokenCounter> TokenCounter::open(const std::string& model, Env& env) {
  TokenCounter counter;
  if (model.empty() || !env.exists(model)) return counter;
  std::string path = model;
  if (const auto source = model::resolve_model(model); source.ok()) path = source->path;
  RETORT_ASSIGN(model::TextParts text, model::load_text(path, env));
  counter.tokenizer_ = std::move(text.tokenizer);
  // A template that cannot be used is the train step's to report.
  const auto chat = model::ChatTemplate::parse(text.chat_template);
  if (text.chat_template.empty() || !chat.ok()) return counter;
  const auto framed = chat->render(model::chat_variables(
      {{"user", "", "", nullptr}}, true, counter.tokenizer_->bos_token(), counter.tokenizer_->eos_token()));
  if (framed.ok()) {
    RETORT_ASSIGN(const auto ids, counter.tokenizer_->encode(*framed, false));
    counter.frame_ = static_cast<double>(ids.size());
  }
  return counter;
}

double TokenCounter::count(const std::string& text) const {
  // A text that the tokenizer refuses is the step's to report; the forecast counts it as words.
  if (tokenizer_) {
    if (const auto ids = tokenizer_->encode(text, false); ids.ok()) return static_cast<double>(ids->size());
  }
  return static_cast<double>(Teacher::tokens(text));
}

MeanTokens mean_tokens(const Expected& file, const TokenCounter& counter) {
  MeanTokens mean;
  if (file.sample.empty()) return mean;
  for (const SampleText& text : file.sample) {
    mean.question += counter.frame() + counter.count(text.question);
    mean.answer += counter.count(text.answer);
  }
  mean.question /= static_cast<double>(file.sample.size());
  mean.answer /= static_cast<double>(file.sample.size());
  return mean;
}

Span operation_seconds(const ExpectedModel& model, int rows) {
  static std::mutex mutex;
  static std::map<std::tuple<int, int, int, bool>, Span> known;
  const int width = std::max(1, model.width / kernels::kBlock) * kernels::kBlock, ffn = std::max(16, model.ffn);
  const std::lock_guard lock(mutex);
  const auto [it, fresh] = known.emplace(std::tuple(width, ffn, rows, model.integer), Span());
  if (fresh) it->second = measure(width, ffn, rows, model.integer);
  return it->second;
}

Span training_seconds(const ExpectedModel& model) {
  ExpectedModel plain = model;
  plain.integer = false;  // whatever the base's file holds, training is in fp32
  const Span product = operation_seconds(plain, kReadRows);
  return {product.low / kTrainShare, product.high / kTrainShare};
}

Span answering_seconds(const ExpectedModel& model, double asked, double made, int concurrency) {
  if (model.parameters <= 0) return {};
  const double each = 2 * model.parameters / kAnswerShare;
  const Span read = operation_seconds(model, kReadRows), write = operation_seconds(model, std::max(1, concurrency));
  return {each * (asked * read.low + made * write.low), each * (asked * read.high + made * write.high)};
}

Span elsewhere_seconds(double answers, double tokens, int concurrency) {
  const double seconds = answers * (1 + tokens / 50) / concurrency;
  return {seconds, seconds};
}

AnswerTokens answer_tokens(const ExpectedModel& model, int max_tokens) {
  const double most = max_tokens;
  if (model.answer_tokens > 0) {
    const double typical = std::min(model.answer_tokens, most);
    return {kShorter * typical, typical, std::min(kLonger * typical, most)};
  }
  return {kLowShare * most, kTypicalShare * most, most};
}

}  // namespace retort::app
