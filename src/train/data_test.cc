#include "train/data.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "model/bpe_trainer.h"
#include "train/schedule.h"
#include "train/tiny_model.h"

namespace retort::train {
namespace {

// A token a byte and 0 for the end; the prompt is the last message's text and ":".
TextMaker bytes() {
  model::BpeTraining training;
  training.vocab_size = 257;
  training.special_tokens = {"<end>"};
  training.eos_token = "<end>";
  auto tokenizer = model::train_bpe({}, training);
  auto chat = model::ChatTemplate::parse("{{ messages[-1]['content'] }}:");
  EXPECT_TRUE(tokenizer.ok() && chat.ok());
  return {*tokenizer, *chat, {}, 0};
}

Example example(const std::string& question, const std::string& reasoning, const std::string& content) {
  Example e;
  e.id = question;
  e.messages = {{"user", question, "", nullptr}};
  e.reasoning = reasoning;
  e.content = content;
  return e;
}

TEST(Samples, OnlyTheAnswerIsInTheLoss) {
  Options options;
  options.max_length = 100;
  DataSummary summary;
  const auto samples = make_samples({example("2+2?", "two and two", "4")}, bytes(), options, summary);
  ASSERT_TRUE(samples.ok());
  const std::string prompt = "2+2?:", answer = "<think>\ntwo and two\n</think>\n\n4";
  const Sample& s = (*samples)[0];
  ASSERT_EQ(s.ids.size(), prompt.size() + answer.size() + 1);
  EXPECT_EQ(s.answer, static_cast<int32_t>(prompt.size()));
  EXPECT_EQ(s.ids.back(), 0);

  Plan plan(*samples, options, testing::tiny_shape(), {});
  const MicroBatch batch = plan.micro_batch({0});
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    const bool learned = i + 1 >= prompt.size() && i + 1 < batch.ids.size();
    EXPECT_EQ(batch.targets[i], learned ? batch.ids[i + 1] : -1) << i;
  }
}

TEST(Samples, SpecialTokensInAnAnswerStayText) {
  Options options;
  options.max_length = 100;
  DataSummary summary;
  const auto samples = make_samples({example("2+2?", "", "4<end>")}, bytes(), options, summary);
  ASSERT_TRUE(samples.ok());
  const std::vector<int32_t>& ids = (*samples)[0].ids;
  EXPECT_EQ(ids.size(), std::string("2+2?:4<end>").size() + 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 0), 1) << "one end, at the end";
}

TEST(Settings, AreReadOrRefused) {
  Options options;
  EXPECT_EQ(chat_settings(options)->now_us / 86'400'000'000, 20454);  // days to 2026-01-01
  EXPECT_TRUE(chat_settings(options)->variables.is_null());
  options.template_variables = {"enable_thinking=false", "style.tone=dry"};
  EXPECT_EQ(to_text(chat_settings(options)->variables), R"({"enable_thinking":false,"style":{"tone":"dry"}})");
  options.template_variables = {"enable_thinking"};
  EXPECT_EQ(chat_settings(options).error().code, Code::Invalid);
  options.template_variables = {};
  for (const char* date : {"", "2025-02-30", "2025-13-01", "2025-02-22 ", "today", "1969-12-31"}) {
    options.date = date;
    EXPECT_EQ(chat_settings(options).error().code, Code::Invalid) << date;
  }
}

TEST(Samples, CutsAndSkipsAreCounted) {
  Options options;
  options.format = "answer";
  options.max_length = 10;
  DataSummary summary;
  const auto samples =
      make_samples({example("123", "", "45"), example("123", "", "456789012"), example("1234567890", "", "1")}, bytes(),
                   options, summary);
  ASSERT_TRUE(samples.ok());
  EXPECT_EQ(samples->size(), 2u);
  EXPECT_EQ(summary.examples, 3);
  EXPECT_EQ(summary.cut, 1);
  EXPECT_EQ(summary.cut_tokens, 4);  // 4 + 9 + end = 14
  EXPECT_EQ(summary.skipped, 1);
  EXPECT_EQ((*samples)[1].ids.size(), 10u);
  EXPECT_NE((*samples)[1].ids.back(), 0) << "a cut sample does not learn to end";
  EXPECT_EQ(make_samples({example("1234567890", "", "1")}, bytes(), options, summary).error().code, Code::Invalid);
}

std::vector<Sample> samples(int count) {
  std::vector<Sample> all;
  for (int i = 0; i < count; ++i) all.push_back({std::vector<int32_t>(static_cast<size_t>(5 + i * 7 % 40), 1), 2});
  return all;
}

TEST(Plan, EachEpochTakesEachSampleOnce) {
  Options options;
  options.epochs = 2.5;
  options.batch_size = 8;
  options.micro_tokens = 64;
  Plan plan(samples(30), options, testing::tiny_shape(), {});
  EXPECT_EQ(plan.steps(), 4 + 4 + 2);
  std::map<int, std::map<int32_t, int>> seen;
  std::vector<int32_t> orders[2];
  for (int64_t s = 0; s < plan.steps(); ++s)
    for (const auto& micro : plan.step(s).micro) {
      size_t tokens = 0;
      for (const int32_t at : micro) {
        ++seen[static_cast<int>(s / 4)][at];
        if (s < 8) orders[s / 4].push_back(at);
        tokens += plan.samples()[static_cast<size_t>(at)].ids.size();
      }
      EXPECT_TRUE(tokens <= 64 || micro.size() == 1);
    }
  EXPECT_EQ(seen[0].size(), 30u);
  EXPECT_EQ(seen[1].size(), 30u);
  EXPECT_EQ(seen[2].size(), 15u);
  for (const auto& [epoch, counts] : seen)
    for (const auto& [at, count] : counts) EXPECT_EQ(count, 1) << epoch << " " << at;
  EXPECT_NE(orders[0], orders[1]);
}

TEST(Plan, AStepIsTheSameWhateverWasAskedBefore) {
  Options options;
  options.max_steps = 20;
  Plan forward(samples(30), options, testing::tiny_shape(), {}),
      resumed(samples(30), options, testing::tiny_shape(), {});
  for (int64_t s = 0; s < 12; ++s) (void)forward.step(s);
  EXPECT_EQ(forward.step(12).micro, resumed.step(12).micro);
  EXPECT_EQ(forward.steps(), 20);
}

TEST(Plan, FlopsAreABudget) {
  Options options;
  options.max_flops = 3e8;
  Plan plan(samples(30), options, testing::tiny_shape(), {});
  double flops = 0;
  for (int64_t s = 0; s < plan.steps(); ++s) flops += plan.step(s).flops;
  EXPECT_DOUBLE_EQ(flops, plan.flops());
  EXPECT_LE(flops, 3e8);
  EXPECT_GT(flops + plan.step(plan.steps()).flops, 3e8);
  EXPECT_GT(plan.steps(), 2) << "epochs do not bound a run with a budget";
}

TEST(Plan, OnesThatNeverEndAreRefused) {
  const auto check = [&](double epochs, int64_t max_steps, double max_flops) {
    Options options;
    options.batch_size = 8;
    options.epochs = epochs;
    options.max_steps = max_steps;
    options.max_flops = max_flops;
    const Status status = check_plan(samples(30), options, testing::tiny_shape(), {});
    return status.ok() ? "" : status.error().message.substr(0, status.error().message.find(" means"));
  };
  const double infinite = std::numeric_limits<double>::infinity();
  EXPECT_EQ(check(3, 0, 0), "");
  EXPECT_EQ(check(kMostSteps / 4, 0, 0), "");
  EXPECT_EQ(check(kMostSteps / 4 + 1, 0, 0), "`epochs` 250001");
  EXPECT_EQ(check(infinite, 0, 0), "`epochs` inf");
  EXPECT_EQ(check(3, kMostSteps, 0), "");
  EXPECT_EQ(check(3, int64_t{1} << 62, 0), "`max_steps` 4611686018427387904");
  EXPECT_EQ(check(3, 0, 1e30), "`max_flops` 1e+30");
  EXPECT_EQ(check(3, 0, infinite), "`max_flops` inf");
  EXPECT_EQ(check(1e18, 5, 0), "") << "max_steps replaces epochs";
  EXPECT_EQ(check(3, 5, 1e30), "") << "the smaller one ends it";
  EXPECT_EQ(check(3, int64_t{1} << 62, 3e8), "");
}

TEST(Schedule, Cosine) {
  ScheduleOptions o;
  o.warmup = 0.1;
  o.floor = 0.1;
  EXPECT_NEAR(learning_rate_factor(o, 1, 100), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate_factor(o, 10, 100), 1.0, 1e-12);
  EXPECT_NEAR(learning_rate_factor(o, 55, 100), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate_factor(o, 100, 100), 0.1, 1e-12);
}

TEST(Schedule, Wsd) {
  ScheduleOptions o;
  o.shape = "wsd";
  o.warmup = 0.1;
  o.decay = 0.2;
  o.floor = 0;
  EXPECT_NEAR(learning_rate_factor(o, 5, 100), 0.5, 1e-12);
  for (int64_t s = 10; s <= 80; ++s) EXPECT_EQ(learning_rate_factor(o, s, 100), 1.0);
  EXPECT_NEAR(learning_rate_factor(o, 90, 100), 0.5, 1e-12);
  EXPECT_NEAR(learning_rate_factor(o, 100, 100), 0.0, 1e-12);
  o.warmup = 0.9;
  EXPECT_EQ(check(o).error().code, Code::Invalid);
}

TEST(Schedule, OneStepTrains) {
  for (const char* shape : {"cosine", "wsd", "constant"}) {
    ScheduleOptions o;
    o.shape = shape;
    o.floor = 0.1;
    EXPECT_GT(learning_rate_factor(o, 1, 1), 0.05) << shape;
  }
}

}  // namespace
}  // namespace retort::train
