#include <gtest/gtest.h>

#include <set>

#include "tasks/generate.h"
#include "tasks/steps.h"
#include "tasks/templates.h"

namespace retort::tasks {
namespace {

TEST(Steps, EvaluateAndKeys) {
  EXPECT_EQ(evaluate({{348, '+', 57}, {std::nullopt, '-', 120}}), 285);
  EXPECT_EQ(commuted_key({{348, '+', 57}}), commuted_key({{57, '+', 348}}));
  EXPECT_EQ(commuted_key({{3, '*', 9}}), commuted_key({{9, '*', 3}}));
  EXPECT_NE(commuted_key({{3, '*', 9}}), commuted_key({{3, '+', 9}}));
}

TEST(Generate, DisjointEvenAndReproducible) {
  Options options;
  options.train = 4000;
  options.test = 800;
  const auto set = generate(options);
  ASSERT_TRUE(set.ok()) << set.error().message;
  ASSERT_EQ(set->train.size(), 4000u);
  ASSERT_EQ(set->test.size(), 800u);
  std::set<std::string> keys;
  std::map<std::string, int> kinds;
  for (const Problem& p : set->train) keys.insert(commuted_key(p.steps)), ++kinds[p.kind];
  for (const Problem& p : set->test) EXPECT_FALSE(keys.contains(commuted_key(p.steps))) << p.question;
  for (const auto& [kind, count] : kinds) EXPECT_EQ(count, 1000) << kind;
  const auto again = generate(options);
  EXPECT_EQ(again->train[17].question, set->train[17].question);
  options.seed = 2;
  EXPECT_NE(generate(options)->train[17].question, set->train[17].question);
}

TEST(Generate, TheTeacherKnowsEveryQuestion) {
  Options options;
  options.train = 2000;
  options.test = 0;
  const auto set = generate(options);
  ASSERT_TRUE(set.ok());
  for (const Problem& p : set->train) {
    const auto solved = solve("  " + p.question + "\n");
    ASSERT_TRUE(solved.has_value()) << p.question;
    EXPECT_EQ(solved->answer, p.answer) << p.question;
    EXPECT_EQ(solved->steps, p.steps) << p.question;
  }
  EXPECT_FALSE(solve("What is the capital of France?").has_value());
  EXPECT_FALSE(solve("What is 1234567 + 1?").has_value());
  EXPECT_FALSE(solve("").has_value());
}

TEST(Generate, ImpossibleOptionsAreNamed) {
  Options options;
  options.kinds = {"division"};
  EXPECT_FALSE(generate(options).ok());
  options = {};
  options.max_digits = 1;
  options.train = 100000;
  EXPECT_NE(generate(options).error().message.find("could be drawn"), std::string::npos);
}

TEST(Worked, ColumnsWithCarriesAndBorrows) {
  const auto chain = [](std::vector<Step> steps) { return worked(steps, Style::Columns); };
  EXPECT_EQ(chain({{675, '+', 67}}), "675+67\n5+7=12\n7+6=13 +1=14\n6+0=6 +1=7");
  EXPECT_EQ(chain({{1013, '-', 969}}), "1013-969\n3-9+10=4\n1-6+10=5 -1=4\n0-9+10=1 -1=0\n1-0=1 -1=0");
  EXPECT_EQ(chain({{3, '-', 50}}), "-(50-3)\n0-3+10=7\n5-0=5 -1=4");
  EXPECT_EQ(chain({{7, '*', 2289}}), "2289*7\n9*7=63\n8*7=56 +6=62\n2*7=14 +6=20\n2*7=14 +2=16");
  EXPECT_EQ(chain({{20, '-', 5}, {std::nullopt, '*', 9}}), "20-5\n0-5+10=5\n2-0=2 -1=1; 15*9\n5*9=45\n1*9=9 +4=13");
}

// Reads a column chain back: the last digits of its columns from the bottom up, the last column whole, are the result.
int64_t read_columns(const std::string& chain) {
  const std::string step = chain.substr(chain.rfind("; ") == std::string::npos ? 0 : chain.rfind("; ") + 2);
  std::string result;
  size_t line = step.find('\n');
  const bool negative = step.starts_with("-(");
  while (line != std::string::npos) {
    const size_t next = step.find('\n', line + 1);
    const std::string column = step.substr(line + 1, next == std::string::npos ? next : next - line - 1);
    const std::string value = column.substr(column.rfind('=') + 1);
    result = (next == std::string::npos ? value : value.substr(value.size() - 1)) + result;
    line = next;
  }
  return (negative ? -1 : 1) * std::stoll(result);
}

TEST(Worked, EveryColumnChainLeadsToItsAnswer) {
  Options options;
  options.train = 4000;
  options.test = 0;
  const auto set = generate(options);
  ASSERT_TRUE(set.ok());
  for (const Problem& p : set->train) EXPECT_EQ(read_columns(worked(p.steps, Style::Columns)), p.answer) << p.question;
}

TEST(Worked, PlainChainsEndInTheAnswer) {
  EXPECT_EQ(worked({{348, '+', 57}, {std::nullopt, '-', 120}}, Style::Plain),
            "First, 348 + 57 = 405. Then, 405 - 120 = 285.");
}

}  // namespace
}  // namespace retort::tasks
