// verify: tables of answers and properties over mutated input; tests/test_judge.py has the public sets of graded pairs.

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/text.h"
#include "verify/judge.h"
#include "verify/number.h"

namespace retort::verify {
namespace {

struct Pair {
  const char *gold, *pred;
  bool same;
  const char* how;
};

TEST(Equal, FollowsItsRules) {
  const Pair pairs[] = {
      {"12", "12", true, "number"},
      {"12", "12.", true, "number"},
      {"12", "012", true, "number"},
      {"12", "13", false, "number"},
      {"-3", "−3", true, "number"},
      {"-3", "- 3", true, "number"},
      {"-3", "negative 3", true, "number"},
      {"3", "-3", false, "number"},
      {"0.5", "1/2", true, "number"},
      {"0.5", "\\frac{1}{2}", true, "number"},
      {"0.5", "\\dfrac12", true, "number"},
      {"0.5", ".50", true, "number"},
      {"1/3", "0.33", false, "number"},
      {"1", "0.1", false, "number"},
      {"1", "1e-2", false, "number"},
      {"0.01", "1/100", true, "number"},
      {"-10/9", "-\\frac{10}{9}", true, "number"},
      {"-10/9", "\\frac{-10}{9}", true, "number"},
      {"-2/3", "2/(-3)", true, "number"},
      {"2/4", "50/100", true, "number"},
      {"7/3", "2 1/3", true, "number"},
      {"7/3", "2\\frac{1}{3}", true, "number"},
      {"1234.5", "$1,234.50", true, "number"},
      {"1234.5", "\\$1{,}234.50", true, "number"},
      {"0.25", "0,25", true, "number"},
      {"0", "a^2 + b = 0", false, "text"},
      {"34", "The largest $n$ is 34", true, "number"},
      {"1000", "1 000", true, "number"},
      {"1000000", "1,000,000", true, "number"},
      {"1000000", "1 million", true, "number"},
      {"32349", "32,\\! 349", true, "number"},
      {"15", "15\\mbox{ cm}^2", true, "number"},
      {"12", "12 apples", true, "number"},
      {"72", "72^\\circ", true, "number"},
      {"72", "72°", true, "number"},
      {"64", "64 square feet", true, "number"},
      {"70", "70 dollars per day", true, "number"},
      {"70", "is $70", true, "number"},
      {"18", "she has 18 eggs left", true, "number"},
      {"18", "not 18", false, "text"},
      {"18", "18 or 19", false, "text"},
      {"5", "5x", false, "text"},
      {"5", "5\\pi", false, "text"},
      {"5", "5i", false, "text"},
      {"3", "3\\sqrt{2}", false, "text"},
      {"28%", "28", true, "percent"},
      {"28%", "0.28", true, "percent"},
      {"28\\%", "28 percent", true, "number"},
      {"28%", "28 pct", true, "number"},
      {"28%", "2800", false, "percent"},
      {"0.05", "5%", true, "percent"},
      {"1500", "1.5e3", true, "number"},
      {"1500", "1.5 \\times 10^3", true, "number"},
      {"1500", "1.5*10^{3}", true, "number"},
      {"1000", "10^3", true, "number"},
      {"0.001", "1E-3", true, "number"},
      {"5", "x = 5", true, "number"},
      {"7", "3 + 4 = 7", true, "number"},
      {"1/3", "x=1/3\\approx 0.3", true, "number"},
      {"9007199254740993", "9007199254740992", false, "number"},
      {"0.1", "0.1000000000000000055511151231257827", false, "number"},
      {"1e999999999", "1e999999999", true, "limit"},
      {"1", "1e999999999", false, "limit"},
      {"5/0", "5/0", true, "text"},
      {"B", "(B)", true, "choice"},
      {"(D) Alina", "D", true, "choice"},
      {"B", "b. 12", true, "choice"},
      {"B", "C", false, "choice"},
      {"Paris", "paris.", true, "text"},
      {"Paris", "London", false, "text"},
      {"(1, 2)", "(1,2)", true, "text"},
      {"x^2+1", "x^2 + 1", true, "text"},
      {"X^2", "x^2", false, "text"},
      {"12:00", "12:00", true, "text"},
      {"12", "12:00", false, "text"},
      {"", "5", false, "empty"},
      {"2", "AZYUK2A", false, "text"},
      {"June 5", "5", false, "text"},
  };
  for (const Pair& p : pairs) {
    const Verdict v = equal(p.gold, p.pred);
    EXPECT_EQ(v.equal, p.same) << p.gold << " | " << p.pred << " (" << v.how << ")";
    EXPECT_EQ(v.how, p.how) << p.gold << " | " << p.pred;
  }
}

TEST(Equal, UndressingTwiceIsUndressingOnce) {
  for (const char* text : {"\\~1, 2\\~}", "\\\\!!5", "$ $x", "\\text{\\text{a}} \\left\\left("})
    EXPECT_EQ(undressed(undressed(text)), undressed(text)) << text;
  EXPECT_EQ(undressed("\\~1"), "1");
}

TEST(Equal, VotesForTheSameNumberShareAKey) {
  for (const char* a : {"0.5", "1/2", "\\frac{1}{2}", "$0.50", ".5", "50/100", "x = 1/2"})
    EXPECT_EQ(vote_key(a), "n:1/2") << a;
  EXPECT_EQ(vote_key("28%"), vote_key("28"));
  EXPECT_EQ(vote_key("(b)"), "c:B");
  EXPECT_EQ(vote_key("Paris."), vote_key("paris"));
  EXPECT_EQ(vote_key(" "), "");
  EXPECT_NE(vote_key("0.33"), vote_key("1/3"));
}

TEST(Extract, FindsTheFinalAnswer) {
  struct Row {
    const char *text, *answer, *how;
  };
  const Row rows[] = {
      {"so $\\boxed{\\frac{1}{2}}$.", "\\frac{1}{2}", "boxed"},
      {"\\boxed{1} then \\boxed{\\text{two }\\{2\\}} done 7", "\\text{two }\\{2\\}", "boxed"},
      {"\\boxed{4} and then an unclosed \\boxed{5", "4", "boxed"},
      {"2+2=4\n#### 4\n", "4", "hash"},
      {"#### 1,234\nand more", "1,234", "hash"},
      {"The answer is 42. Thanks!", "42", "phrase"},
      {"The answer is $3.50.", "$3.50", "phrase"},
      {"**Answer:** 17 apples\n", "17 apples", "phrase"},
      {"Final answer: **8**", "8", "phrase"},
      {"work\nA: 18", "18", "phrase"},
      {"La réponse est 70.", "70", "phrase"},
      {"答案是 12。", "12", "phrase"},
      {"42", "42", "line"},
      {"Paris", "Paris", "line"},
      {"She buys 3 and then 4, so 3 + 4 = 7 apples.", "7", "last_number"},
      {"It costs 10-3, that is $7", "$7", "last_number"},
      {"It fell to -5 degrees", "-5", "last_number"},
      {"so we get 12 - 5", "5", "last_number"},
      {"That leaves 25% of the cake", "25%", "last_number"},
      {"the ratio comes to 3/4 in the end", "3/4", "last_number"},
      {"so x equals $-\\frac{3}{4}$ in the end", "-\\frac{3}{4}", "last_number"},
      {"<think>it is 5, answer: 5</think>The answer is 6.", "6", "phrase"},
      {"thinking 5</think>The answer is 6.", "6", "phrase"},
  };
  for (const Row& row : rows) {
    const auto answer = extract_answer(row.text);
    ASSERT_TRUE(answer) << row.text;
    EXPECT_EQ(answer->text, row.answer) << row.text;
    EXPECT_EQ(answer->how, row.how) << row.text;
  }
  EXPECT_FALSE(extract_answer(""));
  EXPECT_FALSE(extract_answer("**...**"));
  EXPECT_FALSE(extract_answer("<think>the answer is 5"));
  EXPECT_FALSE(
      extract_answer("I cannot say what it is, and there is nothing that would tell me more about it at all."));
  EXPECT_TRUE(strip_thought("<think>a").cut_thought);
  EXPECT_FALSE(strip_thought("<think>a</think>b").cut_thought);
}

// Random edits of real answers: no input may crash, hang or make equal() contradict itself.
TEST(Verify, AnyBytesAreSafe) {
  const std::string seeds[] = {"the answer is \\frac{12}{7} apples",
                               "$1,234.50",
                               "\\boxed{\\text{a}{b}}",
                               "1 2/3 %",
                               "<think>x</think>",
                               "1e5*10^{3}",
                               "(-3)/(4)",
                               "#### 5",
                               "\\left(1\\right)",
                               "答案是 12。",
                               "\\frac{1}{\\frac{2}{3}}"};
  const std::string alphabet = "0123456789.,/%$\\{}()^*-+eE= x\n\"<>\xe2\x88\x92\xff";
  Random random(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string text = seeds[random.below(std::size(seeds))];
    if (random.below(3) == 0) text += seeds[random.below(std::size(seeds))];
    for (uint64_t edits = random.below(6); edits > 0 && !text.empty(); --edits) {
      const size_t at = random.below(text.size());
      switch (random.below(3)) {
        case 0: text[at] = alphabet[random.below(alphabet.size())]; break;
        case 1: text.erase(at, 1 + random.below(3)); break;
        default: text.insert(at, 1, alphabet[random.below(alphabet.size())]);
      }
    }
    const std::string other = seeds[random.below(std::size(seeds))];
    const Verdict there = equal(text, other);
    if (there.how != "number" && there.how != "text") continue;
    if (!trim(text).empty() && text.size() <= kMaxAnswerBytes) {
      EXPECT_TRUE(equal(text, text).equal) << text;
      const std::string key = vote_key(text);
      EXPECT_EQ(key, vote_key(text));
    }
    (void)judge(text, other);
  }
}

// Work must stay linear: inputs built to trip quadratic scanners, a megabyte each. The bound is generous in operations,
// not a timing: a quadratic scan would run for hours and meet the test's time limit.
TEST(Verify, HostileSizesReturn) {
  const size_t n = 1 << 20;
  const auto repeat = [&](std::string_view unit) {
    std::string out;
    while (out.size() < n) out += unit;
    return out;
  };
  for (const std::string_view unit : {"9", "\\boxed{", "{", "answer is ", "\\frac{", "####", "<think>",
                                      "<think></think>", "A:", "1/", "-", "$", "1,000", "e9"}) {
    const std::string text = repeat(unit);
    (void)judge("5", text);
    (void)equal(text, text);
    (void)vote_key(text);
  }
  (void)equal("9e400", "9e-400");
  EXPECT_TRUE(equal(std::string(900, '9'), std::string(900, '9')).equal);
  const std::string many(2000, '9');
  EXPECT_EQ(equal(many, many).how, "limit");
}

}  // namespace
}  // namespace retort::verify
