// verify's rules: what each takes for right and for wrong, which references and arguments it refuses, and that no reply
// makes one slow.

#include <filesystem>
#include <fstream>
#include <span>

#include <gtest/gtest.h>

#include "verify/date.h"
#include "verify/rule.h"
#include "verify/stated.h"

namespace retort::verify {
namespace {

struct Row {
  const char *rule, *gold, *reply;
  bool equal;
};

Judgement judged(const char* rule, std::string_view gold, std::string_view reply) {
  auto parsed = parse_rule(rule, From::User);
  EXPECT_TRUE(parsed.ok()) << rule << ": " << (parsed.ok() ? "" : parsed.error().message);
  return parsed.ok() ? parsed->judge({gold, reply, ""}) : Judgement();
}

void check(std::span<const Row> rows) {
  for (const Row& row : rows) {
    const Judgement j = judged(row.rule, row.gold, row.reply);
    EXPECT_EQ(j.equal, row.equal) << row.rule << " | " << row.gold << " | " << row.reply << " -> " << j.how << " "
                                  << (j.answer ? j.answer->text : "nothing");
  }
}

TEST(Auto, TakesWhatASentenceStates) {
  const Row rows[] = {
      {"auto", "2024-03-05", "The date is 2024-03-05.", true},
      {"auto", "2024-03-05", "It falls on March 5th, 2024.", true},
      {"auto", "2024-03-05", "Four days later.\n**5 March 2024**", true},
      {"auto", "2024-03-05", "The answer is Tuesday, 5 March 2024.", true},
      {"auto", "2024-03-05", "Date: 2024/3/5", true},
      {"auto", "Paris", "The capital of France is Paris.", true},
      {"auto", "Paris", "Let me see. The capital of France is **Paris**.", true},
      {"auto", "yes", "Yes, it is.", true},
      {"auto", "no", "No, it is not.", true},
      {"auto", "No", "7 divides 91. So no.", true},
      {"auto", "yes", "The answer is yes, because 3 divides 9.", true},
      {"auto", "true", "The statement is true.", true},
      {"auto", "positive", "Label: positive", true},
      {"auto", "positive", "The tone is warm.\n**Sentiment:** Positive", true},
      {"auto", "B", "The correct option is (B).", true},
      {"auto", "B", "I choose option B", true},
      {"auto", "120", "There are 120 inches in 10 feet.", true},
      {"auto", "120", "10 feet is 120 inches.", true},
  };
  check(rows);
}

// Each is a way in which a reply can hold its reference without giving it as the answer.
TEST(Auto, StaysSound) {
  const Row rows[] = {
      {"auto", "10", "There are 120 inches in 10 feet.", false},
      {"auto", "2024-03-05", "It is not 2024-03-05.", false},
      {"auto", "2024-03-05", "It is between 2024-03-05 and 2024-03-09.", false},
      {"auto", "2024-03-05", "It comes before 2024-03-05.", false},
      {"auto", "2024-03-05", "Is it 2024-03-05?", false},
      {"auto", "2024-03-05", "It was 2024-03-05. Now it is 2024-03-06.", false},
      {"auto", "2024-03-05", "The date is 2024-03-051.", false},
      {"auto", "2024-03-05", "The date is 03/05/2024.", false},
      {"auto", "Paris", "The capital of France is not Paris.", false},
      {"auto", "Paris", "The capital of France is Lyon.", false},
      {"auto", "Paris", "I doubt that it is Paris.", false},
      {"auto", "Paris", "It is Lyon, whose rival is Paris.", false},
      {"auto", "Paris", "It is Paris or Lyon.", false},
      {"auto", "Paris", "Which city is Paris?", false},
      {"auto", "Paris", "The capital is Paris. No, it is Lyon.", false},
      {"auto", "Paris", "The answer is Lyon, whose rival is Paris.", false},
      {"auto", "yes", "Yes and no.", false},
      {"auto", "yes", "Yes, wait, it is not.", false},
      {"auto", "no", "No one knows.", false},
      {"auto", "no", "No. 5 is the right one.", false},
      {"auto", "true", "The statement is not true.", false},
      {"auto", "true", "It is true or it is false.", false},
      {"auto", "positive", "Label: not positive", false},
      {"auto", "positive", "Label: negative", false},
      {"auto", "B", "Option B is wrong.", false},
      {"auto", "B", "(A) 3 (B) 4", false},
      {"auto", "B", "The correct option is (C).", false},
  };
  check(rows);
}

TEST(Rules, EachFollowsItsDescription) {
  const Row rows[] = {
      {"number", "120", "The answer is 120 inches (10 feet).", true},
      {"number", "10", "The answer is 120 inches (10 feet).", false},
      {"number", "0.5", "That makes 1/2", true},
      {"number:0.01", "3.14159", "It is about 3.14", true},
      {"number:0.01", "3.14159", "It is about 3.2", false},
      {"number:1/8", "1", "0.875", true},
      {"number", "3", "none at all", false},
      {"text", "New York", "new  york.", true},
      {"text", "New York", "The answer is **New York**.", true},
      {"text", "New York", "New York City", false},
      {"text", "0.5", "1/2", false},
      {"contains", "Paris", "It is Paris, of course", true},
      {"contains", "Paris", "It is Parisian", false},
      {"contains", "12", "it costs 312, or 12,000, or 3.12, or -12", false},
      {"contains", "12", "it costs 12.", true},
      {"contains", "New York", "in new\nyork!", true},
      {"contains", "Paris", "<think>Paris</think>London", false},
      {"choice", "B", "B) because of 12", true},
      {"choice", "(B)", "so option B", true},
      {"choice", "B", "The answer is C.", false},
      {"choice", "B", "Be careful", false},
      {"date", "5 March 2024", "2024-03-05", true},
      {"date", "2024-03-05", "on 5.3.2024", true},
      {"date", "2024-12-25", "It is 12/25/2024", true},
      {"date", "2024-03-05", "2024-03-06", false},
      {"regex", "^SELECT\\s+\\*", "SELECT  * FROM t", true},
      {"regex", "^SELECT\\s+\\*", "DROP TABLE t", false},
      {"regex:Result=(\\d+)", "12", "Result=3 no, Result=12 (of 99)", true},
      {"regex:Result=(\\d+)", "3", "Result=3 no, Result=12", false},
      {"regex:Result=(\\d+)", "12", "the result is 12", false},
      {"regex:[A-Z]{3}", "usd", "in USD", true},
      {"json", R"({"a":1,"b":[1,2]})", "Here:\n```json\n{\"b\": [1, 2.0], \"a\": 1}\n```\nDone.", true},
      {"json", R"({"a":1})", "It is {\"a\": 2}", false},
      {"json", R"({"a":1})", "It is {\"a\": 1, \"b\": 2}", false},
      {"json", "[1,2]", "[2,1]", false},
      {"json", "[1,2]", "so: [1, 2]", true},
      {"json", "[1,2]", "no json", false},
  };
  check(rows);
}

TEST(Rules, RefuseWhatTheyCannotJudge) {
  for (const auto& [rule, reference] : {std::pair("number", "soon"),
                                        {"choice", "Paris"},
                                        {"date", "03/05/2024"},
                                        {"date", "2023-02-29"},
                                        {"json", "{a}"},
                                        {"regex", "(a"}}) {
    const auto parsed = parse_rule(rule, From::User);
    ASSERT_TRUE(parsed.ok());
    const Status status = parsed->accepts(reference);
    ASSERT_FALSE(status.ok()) << rule;
    EXPECT_NE(status.error().message.find(reference), std::string::npos) << status.error().message;
  }
  for (const auto& [rule, sign] : {std::pair("numbr", "`number`"),
                                   {"number:x", "tolerance"},
                                   {"number:-1", "tolerance"},
                                   {"text:x", "no argument"},
                                   {"regex:", "nothing follows"},
                                   {"regex:(a", "byte"},
                                   {"command:", "nothing follows"},
                                   {"command:./no/such", "./no/such"},
                                   {"", "the rules are"}}) {
    const auto parsed = parse_rule(rule, From::User);
    ASSERT_FALSE(parsed.ok()) << rule;
    EXPECT_NE(parsed.error().message.find(sign), std::string::npos) << parsed.error().message;
  }
  // Data must not name a program.
  const auto outside = parse_rule("command:/bin/true", From::Record);
  ASSERT_FALSE(outside.ok());
  EXPECT_NE(outside.error().message.find("must not name a program"), std::string::npos);
}

TEST(Rules, AListTakesARecordsOwn) {
  auto rules = Rules::open("number");
  ASSERT_TRUE(rules.ok());
  EXPECT_EQ((*rules->of(""))->text, "number");
  EXPECT_EQ((*rules->of("date"))->text, "date");
  EXPECT_FALSE(rules->of("command:/bin/true").ok());
  auto own = Rules::open("command:/bin/true");
  ASSERT_TRUE(own.ok());
  EXPECT_TRUE(own->of("command:/bin/true").ok());  // the user's own, named by a record of the same run
}

TEST(Command, DecidesByStatusOrVerdict) {
  const std::string folder = testing::TempDir() + "/rule_command";
  std::filesystem::create_directories(folder);
  const auto script = [&](const std::string& name, const std::string& body) {
    const std::string path = folder + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  };
  const std::string same = script("same", "grep -q '\"reply\":\"right\"'");
  EXPECT_TRUE(judged(("command:" + same).c_str(), "x", "right").equal);
  EXPECT_FALSE(judged(("command:" + same).c_str(), "x", "wrong").equal);
  EXPECT_TRUE(judged(("command:" + same).c_str(), "x", "wrong").problem.empty());
  const std::string prints = script("prints", "echo '{\"equal\": false, \"answer\": \"seen\"}'");
  const Judgement j = judged(("command:" + prints).c_str(), "x", "y");
  EXPECT_FALSE(j.equal);
  EXPECT_EQ(j.answer->text, "seen");
  const Judgement failed = judged(("command:" + script("fails", "echo broke >&2; exit 3")).c_str(), "x", "y");
  EXPECT_FALSE(failed.equal);
  EXPECT_NE(failed.problem.find("status 3: broke"), std::string::npos) << failed.problem;
  // Arguments are the user's, and nothing of the case is ever one or reaches a shell.
  const std::string counts = script("counts", "[ $# = 2 ] && [ \"$2\" = '$(id)' ]");
  EXPECT_TRUE(judged(("command:" + counts + " -x $(id)").c_str(), "`touch a`", "$(touch b); y").equal);
  // More output than anybody reads, a closed standard input, a child left behind.
  EXPECT_TRUE(judged(("command:" + script("loud", "exec <&-; yes | head -c 3000000; sleep 100 & exit 0")).c_str(), "x",
                     std::string(1 << 20, 'y'))
                  .equal);
  EXPECT_NE(judged("command:no-such-program-anywhere", "x", "y").problem.find("no-such-program-anywhere"),
            std::string::npos);
}

TEST(Command, IsEndedAtItsTimeLimit) {
  const Judgement j = judged("command:sleep 1000", "x", "y");
  EXPECT_FALSE(j.equal);
  EXPECT_NE(j.problem.find("ended"), std::string::npos);
}

TEST(Hint, SpeaksWhereMostWrongAnswersHoldTheReference) {
  const Rule rule = parse_rule("text", From::User).value();
  StrictHint hint;
  const auto wrong = [&](const char* gold, const char* reply) {
    hint.wrong(rule, gold, reply, rule.judge({gold, reply, ""}));
  };
  EXPECT_EQ(hint.text(), "");
  wrong("Paris", "It may well be Paris then");
  wrong("2024-03-05", "On 2024-03-05 then");
  wrong("Rome", "Lyon");
  EXPECT_NE(hint.text().find("2 of 3 answers"), std::string::npos) << hint.text();
  EXPECT_NE(hint.text().find("It may well be Paris then"), std::string::npos);
  EXPECT_NE(hint.text().find("`contains`"), std::string::npos);
  wrong("Rome", "Milan");
  EXPECT_EQ(hint.text(), "");
}

TEST(Dates, AreReadInOneWayOnly) {
  EXPECT_EQ(find_dates("from 2024-03-05 to March 9, 2024, not 2024-13-01 or 30 Feb 2024").size(), 2u);
  EXPECT_EQ(iso_date(*read_date("Tuesday, 5th of March 2024.")), "2024-03-05");
  EXPECT_EQ(iso_date(*read_date("25/12/2024")), "2024-12-25");
  EXPECT_EQ(iso_date(*read_date("Sept. 5, 2024")), "2024-09-05");
  EXPECT_TRUE(read_date("29 February 2024"));
  for (const char* none :
       {"", "03/05/2024", "2024", "March 2024", "5 March", "2024-03-05 2024-03-06", "12024-03-05", "1.2.3.2024"})
    EXPECT_FALSE(read_date(none)) << none;
}

// As for the rule `auto` in verify_test.cc: a quadratic scan of these would run for hours.
TEST(Rules, HostileSizesReturn) {
  const size_t n = 1 << 17;
  std::vector<Rule> rules;
  for (const char* text : {"auto", "number:1e-300", "text", "contains", "choice", "date", "json", "regex:(a*)*b",
                           "regex:(a|aa)+$", "regex:a*+[bc]", "regex:(?:(?:.*)*,)*x", "regex:(.+)+\\1\\1"})
    rules.push_back(parse_rule(text, From::User).value());
  for (const std::string_view unit : {"a",           "a ",       "(B) ",
                                      "B ",          "1 ",       "1.",
                                      "9",           "5 March ", "2024-03-0",
                                      "1/",          " is ",     "Label: ",
                                      "label:\n",    "Yes. ",    "{",
                                      "[[",          "```",      "```json\n[",
                                      "\"",          "\\boxed{", "####",
                                      "<think>",     "**B",      "There are 1 in 1 ",
                                      "March      ", "no, ",     "the answer is ",
                                      ". ",          "-12 "}) {
    std::string text;
    while (text.size() < n) text += unit;
    for (const Rule& rule : rules) (void)rule.judge({rule.text == "choice" ? "B" : "2024-03-05", text, ""});
  }
  // A pattern from the data, as bounded as the user's.
  const Rule given = parse_rule("regex", From::Record).value();
  for (const char* pattern : {"(a*)*b", "(a+)+$", "((a?){50}){50}b", "(?R)?a"})
    (void)given.judge({pattern, std::string(n, 'a'), ""});
  EXPECT_FALSE(given.judge({"(a*)*b", std::string(n, 'a'), ""}).equal);
}

}  // namespace
}  // namespace retort::verify
