// Reckoning for --dry-run: what files hold or will hold, and how fast this machine is. Texts that exist, or that can be
// made at once (procedural problems and their chains, imports), are counted with the tokenizer that will read them; how
// long a model's own answers will be nobody knows, so times that depend on it are ranges. The machine is measured with
// the products of the model in question.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "app/step.h"
#include "base/result.h"
#include "model/model.h"
#include "model/tokenizer.h"

namespace retort::app {

// Texts of a file that a forecast holds, at most: spread evenly over the file.
inline constexpr size_t kForecastSample = 256;

// Records of a JSONL file with a sample of their texts: read where it exists, else as an earlier step expects it, at
// most `limit` records (0: all). Nothing known: zeros.
Result<Expected> expect_file(const StepContext& context, const std::string& path, int64_t limit);
// The same of records at hand.
Expected expect_texts(const std::vector<SampleText>& texts);
// Two files as one.
void add_expected(Expected& sum, const Expected& more);

// A model that exists or that an earlier step will train; zeros where nothing is known.
Result<ExpectedModel> expect_model(const StepContext& context, const std::string& path);
// The part of a configuration that a model's speed depends on.
ExpectedModel model_of(const model::Config& config);

// Counts tokens as a model will read them; without a tokenizer as the procedural teacher does.
class TokenCounter {
 public:
  // `model`: a model or tokenizer; "": none.
  static Result<TokenCounter> open(const std::string& model, Env& env);
  double count(const std::string& text) const;
  double frame() const { return frame_; }  // what the chat template adds to a question

 private:
  std::optional<model::Tokenizer> tokenizer_;
  double frame_ = 0;
};

struct MeanTokens {
  double question = 0;  // with the template's frame
  double answer = 0;    // 0 where no answer is known
};
MeanTokens mean_tokens(const Expected& file, const TokenCounter& counter);

// From the machine as it would be if nothing else ran on it, to the machine as busy as it is now.
struct Span {
  double low = 0, high = 0;
  double middle() const { return std::sqrt(low * high); }
};

// Seconds of an operation, on all threads, in products as this model has them with `rows` tokens at once; measured in
// about 200 ms, once for each shape.
Span operation_seconds(const ExpectedModel& model, int rows);

// Seconds of an operation of training this model.
Span training_seconds(const ExpectedModel& model);

// Seconds that a model here takes to read `asked` tokens and to make `made`, `concurrency` answers at once.
Span answering_seconds(const ExpectedModel& model, double asked, double made, int concurrency);

// Seconds that an API takes for `answers` of `tokens` each, where nobody knows it: 50 tokens a second an answer.
Span elsewhere_seconds(double answers, double tokens, int concurrency);

// The answers' tokens that a forecast reckons with: what a student learned to write, where that is known.
struct AnswerTokens {
  double low = 0, typical = 0, high = 0;
};
AnswerTokens answer_tokens(const ExpectedModel& model, int max_tokens);

}  // namespace retort::app
