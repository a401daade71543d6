#include "app/split_prompts.h"

#include <set>

#include <gtest/gtest.h>

#include "app/step.h"
#include "base/env.h"
#include "record/stream.h"

namespace retort::app {
namespace {

Prompt make(const std::string& id, const std::string& question) {
  Prompt prompt;
  prompt.id = id;
  prompt.messages.push_back({"user", question, "", nullptr});
  prompt.answer = "1";
  return prompt;
}

// `stories` stories of `variants` each, which differ in a number and in the last question.
std::vector<Prompt> make_stories(int stories, int variants) {
  std::vector<Prompt> prompts;
  for (int s = 0; s < stories; ++s) {
    std::string body;
    for (int w = 0; w < 9; ++w)
      body += "w" + std::string(1, static_cast<char>('a' + w)) + std::string(s + 1, 'x') + " ";
    for (int v = 0; v < variants; ++v) {
      prompts.push_back(
          make(fmt::format("{}.{}", s, v), fmt::format("{} {}{}?", 10 + v, body, v % 2 ? "left" : "sold")));
    }
  }
  return prompts;
}

std::set<std::string> ids(const std::vector<Prompt>& prompts) {
  std::set<std::string> out;
  for (const Prompt& prompt : prompts) out.insert(prompt.id);
  return out;
}

TEST(SplitPrompts, VariantsStayTogetherAndNothingIsLost) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SplitOptions options;
    options.train_share = 0.4;
    options.seed = seed;
    const auto split = split_prompts(options, make_stories(30, 4));
    ASSERT_TRUE(split.ok()) << split.error().message;
    std::set<std::string> train, test;
    for (const Prompt& p : split->train) train.insert(p.id.substr(0, p.id.find('.')));
    for (const Prompt& p : split->test) test.insert(p.id.substr(0, p.id.find('.')));
    for (const std::string& story : train)
      EXPECT_FALSE(test.contains(story)) << "story " << story << " is on both sides";
    EXPECT_EQ(split->train.size(), 48u);
    EXPECT_EQ(ids(split->train).size() + ids(split->test).size(), 120u);
  }
}

TEST(SplitPrompts, EqualQuestionsMeetWithoutSharedWords) {
  SplitOptions options;
  options.shared_words = 0;
  // "3 + 4" and "4 + 3" are one question; the two stories about fish are two.
  const auto split = split_prompts(options, {make("a", "What is 3 + 4?"), make("b", "What is 4 + 3?")});
  ASSERT_FALSE(split.ok());  // a pair does not fit into half of two
  EXPECT_TRUE(split.error().message.starts_with("none would be left to learn from: all 2 prompts ask the same"))
      << split.error().message;
  options.train_share = 0;
  const auto test_only = split_prompts(options, {make("a", "What is 3 + 4?"), make("b", "What is 4 + 3?")});
  ASSERT_TRUE(test_only.ok());
  EXPECT_EQ(test_only->test.size(), 2u);
  EXPECT_EQ(test_only->largest, 2u);
}

TEST(SplitPrompts, TheSeedDecidesTheOrderAndTheLimitCutsTheTestSideOnly) {
  SplitOptions options;
  options.train_share = 0.25;
  options.test = 10;
  options.task = "stories";
  const auto one = split_prompts(options, make_stories(40, 1)), same = split_prompts(options, make_stories(40, 1));
  ASSERT_TRUE(one.ok() && same.ok());
  EXPECT_EQ(one->train.size(), 10u);
  EXPECT_EQ(one->test.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(one->test[i].id, same->test[i].id);
    EXPECT_EQ(one->test[i].task, "stories");
  }
  options.seed = 2;
  const auto other = split_prompts(options, make_stories(40, 1));
  ASSERT_TRUE(other.ok());
  EXPECT_NE(ids(one->train), ids(other->train));
}

TEST(SplitPrompts, FaultsAreNamed) {
  SplitOptions options;
  options.train_share = 1.5;
  EXPECT_EQ(split_prompts(options, {}).error().message, "`train_share` is 1.5; give 0 to 1");
  options.train_share = 0.5;
  EXPECT_EQ(split_prompts(options, {make("a", "x"), make("a", "y")}).error().message,
            "row 2 has the id `a` of row 1, which is another question; ids must be unique within a data set");
  const auto once = split_prompts(options, {make("a", "x"), make("b", "y"), make("a", "x")});
  EXPECT_EQ(once->train.size() + once->test.size(), 2u);
}

TEST(SplitStep, WritesBothSidesAndNamesTheTaskAfterTheFile) {
  Env& env = system_env();
  const std::string dir = testing::TempDir() + "split_step_test", from = testing::TempDir() + "split_step_from";
  (void)env.remove_all(dir);
  ASSERT_TRUE(env.make_directories(from).ok());
  ASSERT_TRUE(env.write_file(from + "/fish.jsonl", R"({"id": "1", "problem": "one fish", "answer": 1.0}
{"id": "2", "problem": "two fish", "answer": 2.0}
)")
                  .ok());
  const StepKind* kind = find_kind("split");
  ASSERT_NE(kind, nullptr);
  EXPECT_EQ(kind->check({{"from", {"x"}}, {"tasc", "y"}}, env).error().message,
            "unknown option `tasc`; did you mean `task`?");
  StepContext context{env, {}, dir, "split", dir, dir + "/work", {{"from", {from + "/fish.jsonl"}}}};
  const Status status = kind->run(context);
  ASSERT_TRUE(status.ok()) << status.error().message;
  for (const char* name : {"train", "test"}) {
    const auto source = open_jsonl<Prompt>(dir + "/" + name + ".jsonl");
    ASSERT_TRUE(source.ok());
    const auto prompts = read_all(**source);
    ASSERT_TRUE(prompts.ok());
    ASSERT_EQ(prompts->size(), 1u);
    EXPECT_EQ((*prompts)[0].task, "fish");
    EXPECT_EQ((*prompts)[0].answer, (*prompts)[0].id);
  }
  (void)env.remove_all(from);
  (void)env.remove_all(dir);
}

}  // namespace
}  // namespace retort::app
