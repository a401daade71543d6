// Trainer and engine at work in one process, each with threads of its own: neither alters a bit of what the other
// gives.
#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "base/env.h"
#include "infer/engine.h"
#include "model/hf_directory.h"
#include "train/student.h"
#include "train/tiny_model.h"

namespace retort {
namespace {

train::Student student() {
  train::Options options;
  options.scratch.layers = 2;
  options.scratch.hidden = 96;
  options.scratch.ffn = 160;
  options.scratch.vocab_size = 300;
  Example example;
  example.messages = {{"user", "What is 2 + 2?", "", nullptr}};
  example.content = "It is 4.";
  auto made = train::new_student(options, "", {example}, system_env());
  EXPECT_TRUE(made.ok()) << made.error().message;
  return std::move(*made);
}

// Tokens with their log-probabilities, as bits.
std::string answers(infer::Engine& engine) {
  std::string bits;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    model::Request request;
    request.messages = {{"user", "What is " + std::to_string(seed) + " + 2?", "", nullptr}};
    request.sampling.seed = seed;
    request.sampling.max_tokens = 20;
    request.top_logprobs = 0;
    const auto reply = model::generate(engine, std::move(request));
    EXPECT_TRUE(reply.ok()) << reply.error().message;
    for (const model::Token& token : reply->choices.at(0).tokens) {
      char word[8];
      std::memcpy(word, &token.id, 4);
      std::memcpy(word + 4, &token.logprob, 4);
      bits.append(word, 8);
    }
  }
  return bits;
}

std::vector<float> trained(const train::Student& s, int steps) {
  train::BackendSpec spec;
  spec.shape = train::shape(s.config);
  spec.weights = s.weights;
  spec.threads = 2;
  const auto backend = train::testing::open(std::move(spec));
  for (int64_t step = 1; step <= steps; ++step) {
    const auto batch = train::testing::random_batch({70, 33, 120}, s.config.vocab_size, static_cast<uint64_t>(step));
    EXPECT_TRUE(backend->accumulate(batch, 0.01).ok());
    train::Update update;
    update.step = step;
    update.lr = 1e-3;
    EXPECT_TRUE(backend->update(update).ok());
  }
  const auto weights = backend->part(train::Part::Weights);
  return {weights.begin(), weights.end()};
}

TEST(OneProcess, TrainerAndEngineLeaveEachOtherAlone) {
  constexpr int kSteps = 20;
  const train::Student s = student();
  const std::string place = testing::TempDir() + "retort_one_process";
  ASSERT_TRUE(model::write_hf_directory(place, train::directory(s, s.weights), true, system_env()).ok());
  auto model = model::load_model(place);
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto engine = infer::Engine::create(std::make_shared<const model::Model>(std::move(*model)), {.threads = 2});
  ASSERT_TRUE(engine.ok()) << engine.error().message;

  const std::string alone = answers(**engine);
  ASSERT_FALSE(alone.empty());
  const std::vector<float> learned = trained(s, kSteps);
  std::atomic<bool> done = false;
  std::vector<float> beside;
  std::thread trainer([&] {
    beside = trained(s, kSteps);
    done = true;
  });
  do {
    EXPECT_EQ(answers(**engine), alone);
  } while (!done);
  trainer.join();
  EXPECT_EQ(answers(**engine), alone);
  ASSERT_EQ(beside.size(), learned.size());
  EXPECT_EQ(0, std::memcmp(beside.data(), learned.data(), learned.size() * sizeof(float)));
  std::filesystem::remove_all(place);
}

}  // namespace
}  // namespace retort
