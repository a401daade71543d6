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

// Every equation in a chain must be true, whatever the numbers.
int64_t value(const std::string& expression) {
  int64_t total = 0, sign = 1, product = 0;
  bool have = false;
  char op = '+';
  std::string number;
  const auto take = [&] {
    const int64_t n = std::stoll(number);
    product = op == '*' ? product * n : n;
    have = true;
    number.clear();
  };
  for (const char c : expression + "+") {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      number += c;
    } else if (number.empty()) {
      sign = c == '-' ? -sign : sign;
    } else {
      take();
      if (c == '*') {
        op = '*';
      } else {
        total += sign * product;
        sign = c == '-' ? -1 : 1;
        op = '+';
      }
    }
  }
  EXPECT_TRUE(have);
  return total;
}

TEST(Worked, PlainChainsEndInTheAnswer) {
  EXPECT_EQ(worked({{348, '+', 57}, {std::nullopt, '-', 120}}, Style::Plain),
            "First, 348 + 57 = 405. Then, 405 - 120 = 285.");
  EXPECT_EQ(value("3*4+2"), 14);
}

}  // namespace
}  // namespace retort::tasks
