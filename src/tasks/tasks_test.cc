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
  EXPECT_EQ(chain({{675, '+', 67}}), "675+67\n5+7=12|2 67+6\n7+6=13 +1=14|42 6+0\n6+0=6 +1=7|742");
  EXPECT_EQ(chain({{1013, '-', 969}}),
            "1013-969\n9-9=0 3+0=3 +1=4|4 101-96\n9-6=3 1+3=4|44 10-9\n9-9=0 0+0=0|044 1-0\n9-0=9 1+9=10|0044");
  EXPECT_EQ(chain({{3, '-', 50}}), "-(50-3)\n9-3=6 0+6=6 +1=7|7 5-0\n9-0=9 5+9=14|47");
  EXPECT_EQ(chain({{7, '*', 2289}}),
            "2289*7\n9*7=63|3 228\n8*7=56 6+6=12 62|23 22\n2*7=14 4+6=10 20|023 2\n2*7=14 4+2=6 16|16023");
  EXPECT_EQ(chain({{20, '-', 5}, {std::nullopt, '*', 9}}),
            "20-5\n9-5=4 0+4=4 +1=5|5 2-0\n9-0=9 2+9=11|15; 15*9\n5*9=45|5 1\n1*9=9 9+4=13 13|135");
}

// The result that a column chain reads off: what stands behind its last bar.
int64_t read_columns(const std::string& chain) {
  const std::string step = chain.substr(chain.rfind("; ") == std::string::npos ? 0 : chain.rfind("; ") + 2);
  return (step.starts_with("-") ? -1 : 1) * std::stoll(step.substr(step.rfind('|') + 1));
}

// Every `x+y=z`, `x*y=z` and `x-y=z` of a chain is true.
void expect_true_equations(const std::string& chain) {
  for (size_t equals = chain.find('='); equals != std::string::npos; equals = chain.find('=', equals + 1)) {
    size_t begin = equals;
    while (begin > 0 && std::string_view("0123456789+-*").find(chain[begin - 1]) != std::string_view::npos) --begin;
    const std::string left = chain.substr(begin, equals - begin);
    const size_t op = left.find_first_of("+-*", 1);
    if (op == std::string::npos) continue;  // "+1=14": goes on from the sum before it
    const int64_t x = std::stoll(left.substr(0, op)), y = std::stoll(left.substr(op + 1)),
                  z = std::stoll(chain.substr(equals + 1));
    EXPECT_EQ(left[op] == '+' ? x + y : left[op] == '-' ? x - y : x * y, z) << chain;
  }
}

TEST(Worked, EveryColumnChainLeadsToItsAnswer) {
  Options options;
  options.train = 4000;
  options.test = 0;
  const auto set = generate(options);
  ASSERT_TRUE(set.ok());
  for (const Problem& p : set->train) {
    EXPECT_EQ(read_columns(worked(p.steps, Style::Columns)), p.answer) << p.question;
    expect_true_equations(worked(p.steps, Style::Columns));
  }
}

TEST(Worked, PlainChainsEndInTheAnswer) {
  EXPECT_EQ(worked({{348, '+', 57}, {std::nullopt, '-', 120}}, Style::Plain),
            "First, 348 + 57 = 405. Then, 405 - 120 = 285.");
}

}  // namespace
}  // namespace retort::tasks
