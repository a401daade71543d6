// A verb and the step kind of its name can be told the same: both lists come from one job's fields(), and this fails
// where one of them drifts.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include "app/answerer.h"
#include "app/command.h"
#include "app/step.h"
#include "app/train_files.h"

namespace retort::app {
namespace {

// What only a verb has: where to write and how to print, and modes that are no stage.
const std::set<std::string> kVerbOnly = {"out", "json", "replace", "compare", "config", "set", "help"};

std::set<std::string> flags_of(const Command& command) {
  CLI::App app;
  CommandLine cli(app);
  const auto run = command.define(cli);
  std::set<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (std::string name : option->get_lnames()) {
      std::replace(name.begin(), name.end(), '-', '_');
      if (!kVerbOnly.contains(name)) names.insert(name);
    }
  return names;
}

TEST(Jobs, AVerbAndItsStepKindCanBeToldTheSame) {
  for (const StepKind& kind : step_kinds()) {
    const auto& all = commands();
    const auto verb =
        std::find_if(all.begin(), all.end(), [&](const Command& c) { return c.name == std::string(kind.name); });
    ASSERT_NE(verb, all.end()) << "no verb " << kind.name;
    std::set<std::string> keys;
    for (const OptionField& field : kind.options) keys.insert(field.path);
    EXPECT_EQ(flags_of(*verb), keys) << kind.name;
  }
}

// What the list says a recipe may write, the kind reads.
TEST(Jobs, AStepTakesEachKeyThatItLists) {
  for (const StepKind& kind : step_kinds()) {
    EXPECT_GT(kind.options.size(), 3u) << kind.name;
    for (const OptionField& field : kind.options) {
      Json options = Json::object();
      Json* at = &options;
      for (const std::string_view part : split(field.path, '.')) at = &(*at)[std::string(part)];
      *at = field.value;
      const Status status = kind.check(options, system_env());
      if (status.ok()) continue;
      EXPECT_EQ(status.error().message.find("unknown option"), std::string::npos) << status.error().message;
    }
    const Status wrong = kind.check({{"no_such_key", 1}}, system_env());
    EXPECT_NE(wrong.error().message.find("unknown option `no_such_key`"), std::string::npos) << kind.name;
  }
}

TEST(Jobs, ErrorsOfAVerbCallOptionsByTheirFlags) {
  CLI::App app;
  CommandLine cli(app);
  const JobFlags<TrainJob> flags(cli);
  const auto run = flags.run([](const TrainJob&) -> Result<int> { return 0; });
  app.parse("--examples x --method dora");
  const auto result = run();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "--method is \"dora\"; give one of full, lora (`lora`?)");
}

TEST(Jobs, WhatIsRequiredIsMissed) {
  CLI::App app;
  CommandLine cli(app);
  const JobFlags<TrainJob> flags(cli);
  const auto run = flags.run([](const TrainJob&) -> Result<int> { return 0; });
  app.parse("--from-scratch --batch_size 3");
  const auto result = run();
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(result.error().message.starts_with("--examples is missing")) << result.error().message;
}

TEST(Answerer, AnApiHasAPriceListAndACapOrIsFree) {
  Env& env = system_env();
  const std::string prices = testing::TempDir() + "answerer_prices.yaml";
  ASSERT_TRUE(env.write_file(prices, "m: {input: 1, output: 2}\n").ok());
  Answerer a;
  a.endpoint = "http://127.0.0.1:9/v1";
  EXPECT_EQ(check_answerer(a, "grader_", env).error().message,
            "`grader_endpoint` needs `grader_model`, the model's name at http://127.0.0.1:9/v1");
  a.model = "m";
  EXPECT_TRUE(check_answerer(a, "", env).error().message.starts_with("give `prices`, a file with the line `m: "));
  a.access.prices = prices;
  EXPECT_TRUE(check_answerer(a, "", env).error().message.starts_with("give `cap`"));
  a.cap = "1.00";
  EXPECT_TRUE(check_answerer(a, "", env).ok());
  a.model = "n";
  EXPECT_EQ(check_answerer(a, "", env).error().code, Code::Invalid);
  a.access.prices = kFree;
  a.cap = "";
  EXPECT_TRUE(check_answerer(a, "", env).ok());
  a.access.key_variable = "RETORT_TEST_IS_NOT_SET";
  EXPECT_NE(check_answerer(a, "", env).error().message.find("RETORT_TEST_IS_NOT_SET"), std::string::npos);
  a = Answerer();
  a.model = "some/path";
  EXPECT_TRUE(check_answerer(a, "", env).ok());
  a.cap = "1.00";
  EXPECT_NE(check_answerer(a, "", env).error().message.find("`cap` is of an API"), std::string::npos);
}

}  // namespace
}  // namespace retort::app
