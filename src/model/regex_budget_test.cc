// A tokenizer comes with a model from outside: whatever its pattern and its added tokens say, any text is cut within
// its work or refused with the reason, never silently left whole.
#include <gtest/gtest.h>

#include <chrono>

#include "base/text.h"
#include "model/bpe_trainer.h"
#include "model/pretokenizer_regex.h"
#include "model/tokenizer.h"

namespace retort::model {
namespace {

std::string times(std::string_view unit, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += unit;
  return out;
}

struct Case {
  std::string pattern, text;
};

std::vector<Case> cases() {
  const std::string as(20000, 'a'), xs(3000, 'x');
  std::string words;
  for (int i = 0; i < 5000; ++i) words += (i > 0 ? "|k" : "k") + std::to_string(i);
  return {
      {".*.*.*=|.", xs},
      {".*.*.*.*.*=", xs},
      {"((?=(a+))a)+b|.", as},
      {"(a+)+$", std::string(5000, 'a') + "!"},
      {"(a+)+b", std::string(5000, 'a')},
      {"(a|aa)+b|.", times(std::string(30, 'a') + "!", 300)},
      {"(a+)+b|.", times(std::string(23, 'a') + "!", 400)},
      {"(x+x+)+y|.", times(std::string(24, 'x') + "!", 400)},
      {"(a*)*b", as},
      {"(a*)*$", as + "!"},
      {"(a?){200}a{200}", std::string(200, 'a')},
      {"(.*?,){11}P", times("1,", 5000)},
      {"(a|b|ab)*c|.", times("ab", 2000)},
      {"(?:a|a|a|a)+b", std::string(2000, 'a')},
      {"(\\w+\\s?)*$", times("word ", 4000) + "!"},
      {"^(([a-z])+.)+[A-Z]([a-z])+$", as},
      {"(?=.*b)a|.", as},
      {"(?!.*b)a|.", as},
      {"(?<=a)(a+)+b", as},
      {"(?>a+)b|.", as},
      {"a+b|.", as},
      {"a+?b|.", as},
      {"a*a*a*a*b|.", std::string(3000, 'a')},
      {".*b|.", as},
      {".+\\d|.", as},
      {"\\s+(?!\\S)|\\s+", std::string(1 << 20, ' ') + "x"},
      {"\\p{L}+|.", std::string(1 << 20, 'a')},
      {"[^a]+|a", std::string(1 << 20, 'b')},
      {"(?:[a-z]+)+", std::string(1 << 20, 'a')},
      {words, times("k4999", 5000)},
      {words + "x", times("k4999", 5000)},
      {"((a{1,100}){1,100}){1,100}", as},
      {"((a{1,1000}){1,1000}){1,1000}", as},
      {"(a{65535}){65535}", as},
      {times("(", 100000) + "a" + times(")", 100000), as},
      {times("(", 200) + "a" + times(")*", 200), std::string(200, 'a')},
      {times("a?", 500) + times("a", 500), std::string(500, 'a')},
      {"(?R)", as},
      {"a(?R)?b|.", as},
      {"\\C|.", "\xC3\xA9\xE2\x82\xAC"},
      {"(?C1)a|.", as},
      {"(*LIMIT_MATCH=4294967295)(a+)+b|.", as},
      {"(*NO_JIT)(*LIMIT_HEAP=4294967295)(a|b|ab)*c|.", as},
      {"a\\K|b\\Kb?", times("ab", 100)},
      {"(?<=ab\\K)", times("ab", 100)},
      {"", as},
      {"$", times("a\n", 20000)},
      {"\\b", times("a ", 20000)},
      {"(a)\\1+b|.", as},
  };
}

TEST(RegexBudget, EachPatternEndsWithinItsWork) {
  EXPECT_GE(cases().size(), 45u);
  for (const Case& c : cases()) {
    const std::string name = c.pattern.substr(0, 40);
    const auto start = std::chrono::steady_clock::now();
    const auto regex = Regex::compile(c.pattern);
    if (regex.ok()) {
      std::vector<std::pair<size_t, size_t>> matches;
      const RegexWork given = regex_work(c.text.size());
      RegexWork work = given;
      const Status found = regex->find_all(c.text, matches, work);
      EXPECT_GT(work.steps, -given.steps) << name;  // the last try may pass what is left, by what it was given
      if (!found.ok()) {
        EXPECT_EQ(found.error().code, Code::Limit) << name;
        EXPECT_LT(found.error().message.size(), 1000u);
      }
    }
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 30) << name;
  }
}

// A limit is no reason to cut a text otherwise: what passes the first steps is tried again, to the same matches.
TEST(RegexBudget, LongWordsAreFoundWhole) {
  for (const auto& [pattern, text] :
       std::vector<Case>{{"\\p{L}+|.", std::string(300000, 'a') + "." + std::string(9, 'b')},
                         {"(?:[a-z]|[0-9])+|.", std::string(300000, 'a') + "." + std::string(9, 'b')},
                         {"\\s+(?!\\S)|\\s+|b+|\\.", std::string(300000, ' ') + "." + std::string(9, 'b')}}) {
    const auto regex = Regex::compile(pattern);
    ASSERT_TRUE(regex.ok());
    RegexWork work = regex_work(text.size());
    std::vector<std::pair<size_t, size_t>> matches;
    const Status found = regex->find_all(text, matches, work);
    ASSERT_TRUE(found.ok()) << found.error().message;
    ASSERT_GE(matches.size(), 3u) << pattern;
    EXPECT_EQ(matches.front().first, 0u);
    EXPECT_GE(matches.front().second, 299999u) << pattern;
    EXPECT_EQ(matches.back(), (std::pair<size_t, size_t>(300001, 300010))) << pattern;
  }
}

// Matches that lie far apart are found across the places that are looked at together.
TEST(RegexBudget, RareMatchesAreAllFound) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += times("\xC3\xA9", i * 7 % 300) + std::to_string(i);
  const auto regex = Regex::compile("[0-9]+");
  ASSERT_TRUE(regex.ok());
  RegexWork work = regex_work(text.size());
  std::vector<std::pair<size_t, size_t>> matches;
  ASSERT_TRUE(regex->find_all(text, matches, work).ok());
  std::vector<std::pair<size_t, size_t>> want;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    if (end > i) want.emplace_back(i, end);
    i = std::max(end, i + 1);
  }
  EXPECT_EQ(matches, want);
  // A character that hardly comes is not searched for to the end of the text from each window anew.
  const std::string rare = times("abcdefgh", 1 << 20) + "z";
  matches.clear();
  ASSERT_TRUE(Regex::compile("z+").value().find_all(rare, matches, work).ok());
  EXPECT_EQ(matches, (std::vector<std::pair<size_t, size_t>>{{8 << 20, (8 << 20) + 1}}));
}

Tokenizer with(const std::string& pattern, std::vector<AddedToken> added) {
  auto trained = train_bpe({"some words and more words"}, {270, {}, "", ""});
  EXPECT_TRUE(trained.ok());
  TokenizerSpec spec = trained->spec();
  if (!pattern.empty())
    spec.pre_tokenizer = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}}}}};
  spec.added = std::move(added);
  auto made = Tokenizer::make(std::move(spec));
  EXPECT_TRUE(made.ok()) << made.error().message;
  return *made;
}

AddedToken token(const std::string& content, bool single_word, bool lstrip, bool rstrip) {
  AddedToken t;
  t.content = content;
  t.single_word = single_word;
  t.lstrip = lstrip;
  t.rstrip = rstrip;
  t.special = true;
  return t;
}

TEST(RegexBudget, AFailedMatchIsAnErrorOfTheTokenizer) {
  const Tokenizer hostile = with("((?=(a+))a)+b|.", {});
  const auto ids = hostile.encode(std::string(20000, 'a'), false);
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().code, Code::Limit);
  EXPECT_NE(ids.error().message.find("((?=(a+))a)+b|."), std::string::npos);
  EXPECT_TRUE(hostile.encode("a few words", false).ok());
}

TEST(RegexBudget, AddedTokensTakeLinearTime) {
  const std::string spaces(2 << 20, ' ');
  const auto start = std::chrono::steady_clock::now();
  for (const bool lstrip : {false, true}) {
    for (const bool rstrip : {false, true}) {
      const Tokenizer t = with("", {token(" ", false, lstrip, rstrip), token("xyz", true, lstrip, rstrip)});
      EXPECT_TRUE(t.encode(spaces, false).ok());
      EXPECT_TRUE(t.encode(times(" xyz ", 100000), false).ok());
      EXPECT_TRUE(t.encode(times(std::string(1000, ' ') + "xyz", 1000) + "xx", false).ok());
    }
  }
  std::vector<AddedToken> many;
  for (int i = 1; i < 1000; ++i) many.push_back(token(std::string(static_cast<size_t>(i), 'a'), false, true, true));
  EXPECT_TRUE(with("", many).encode(std::string(100000, 'a') + std::string(100000, ' ') + "b", false).ok());
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 60);  // were hours
  TokenizerSpec spec = with("", {}).spec();
  spec.added = {token(std::string(5000, 'a'), false, false, false)};
  EXPECT_NE(Tokenizer::make(std::move(spec)).error().message.find("5000 bytes"), std::string::npos);
}

}  // namespace
}  // namespace retort::model
