// FakeGenerator: a model::Generator that answers from a script, for tests of whatever stands on one (server, collect,
// eval). One thread plays all requests in turn, a token of each at a time, as an engine with continuous batching does;
// or, with a seed of disorder, in any order and any number of tokens at a time, as a busy API does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/generator.h"

namespace retort::model {

// A reply as the script gives it: one per choice. Text inside <think>...</think> at the start becomes `reasoning`.
struct FakeAnswer {
  std::vector<std::string> texts;  // choice i gets texts[i % size]; each UTF-8 character is a token
  std::string finish_reason = "stop";
  int64_t prompt_tokens = 1;
  int64_t step_us = 0;    // pause before each token
  std::string end_token;  // its name: a token that ends the text without being part of it; "": none
};

class FakeGenerator final : public Generator {
 public:
  using Script = std::function<Result<FakeAnswer>(const Request& request, int64_t number)>;
  // `script` is asked for each request, `number` counting from 0 in the order of submission.
  // `disorder`: not 0 seeds the order in which requests and their choices go on, some not at all in a round, others by
  // several tokens at once. Answers do not depend on it.
  explicit FakeGenerator(Script script, std::string name = "fake", uint64_t disorder = 0);
  ~FakeGenerator() override;
  void submit(Request request, Callbacks callbacks, Cancel cancel) override;
  std::string name() const override;

  std::vector<Request> requests() const;  // seen so far
  int64_t cancelled() const;              // requests that ended by their Cancel so far
  int64_t tokens() const;                 // tokens handed out so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort::model
