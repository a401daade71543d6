#include "model/tokenizer.h"

#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/env.h"
#include "base/random.h"
#include "model/bpe.h"
#include "model/bpe_trainer.h"
#include "model/pretokenizer.h"
#include "model/pretokenizer_regex.h"
#include "model/tokenizer_load.h"
#include "model/unicode.h"
#include "tests/data.h"

namespace retort::model {
namespace {

std::vector<std::string> corpus() {
  std::vector<std::string> texts;
  for (int i = 0; i < 50; ++i) texts.push_back(fmt::format("What is {} plus {}? The answer is {}.\n", i, i * 7, i * 8));
  return texts;
}

Tokenizer tiny() {
  auto t = train_bpe(corpus(), {320, {"<eos>", "<user>"}, "", "<eos>"});
  EXPECT_TRUE(t.ok()) << t.error().message;
  return *t;
}

std::string random_text(Random& random, size_t size) {
  std::string out;
  for (size_t i = 0; i < size; ++i) {
    const uint64_t kind = random.below(8);
    const uint32_t c = static_cast<uint32_t>(kind < 4   ? random.between(32, 126)
                                             : kind < 5 ? random.below(2) * 3 + 10
                                             : kind < 6 ? random.between(0xA0, 0x2FF)
                                             : kind < 7 ? random.between(0x3000, 0x9FFF)
                                                        : random.between(0x10000, 0x1FFFF));
    std::string bytes;
    if (c < 0x80) {
      bytes += static_cast<char>(c);
    } else if (c < 0x800) {
      bytes += {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
    } else if (c < 0x10000) {
      bytes += {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 0x3F)),
                static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      bytes += {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 0x3F)),
                static_cast<char>(0x80 | ((c >> 6) & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    }
    out += bytes;
  }
  return out;
}

TEST(Tokenizer, RoundTripsAnyValidText) {
  const Tokenizer t = tiny();
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_text(random, random.below(80));
    EXPECT_EQ(t.decode(*t.encode(text, false), false), text);
  }
}

TEST(Tokenizer, InvalidUtf8CountsAsReplacementCharacter) {
  const Tokenizer t = tiny();
  EXPECT_EQ(*t.encode("a\xFF\xE4\xB8", false), *t.encode("a\xEF\xBF\xBD\xEF\xBF\xBD", false));
}

TEST(Tokenizer, DigitsStaySingleAndSpecialTokensWhole) {
  const Tokenizer t = tiny();
  EXPECT_EQ(t.encode("12345", false)->size(), 5u);
  EXPECT_EQ(*t.encode("<user>7<eos>", false), (std::vector<int32_t>{1, *t.id_of("7"), 0}));
  EXPECT_EQ(t.decode(*t.encode("<user>7<eos>", false), true), "7");
  EXPECT_EQ(t.eos_id(), 0);
  EXPECT_EQ(t.bos_id(), -1);
}

TEST(Tokenizer, JsonRoundTripKeepsIds) {
  const Tokenizer t = tiny();
  const auto again = Tokenizer::from_json(t.to_json(), "", "<eos>");
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->to_json(), t.to_json());
  for (const std::string& text : corpus()) EXPECT_EQ(*again->encode(text, true), *t.encode(text, true));
}

TEST(Tokenizer, ALongWordTakesLinearithmicTime) {
  const Tokenizer t = tiny();
  std::string word;
  for (int i = 0; i < 1 << 20; ++i) word += "answer"[i % 6];
  EXPECT_EQ(t.decode(*t.encode(word, false), false), word);
}

TEST(Tokenizer, HeapAndScanMergeAlike) {
  const Tokenizer t = tiny();
  // 41 symbols take the heap, 40 the scan: a word and the same word with a lone byte behind differ in that byte only.
  std::string word;
  for (int i = 0; word.size() < 40; ++i) word += "theansweris"[i % 11];
  auto scanned = *t.encode(word, false);
  const auto heaped = *t.encode(word + "Z", false);
  scanned.push_back(*t.id_of("Z"));
  EXPECT_EQ(heaped, scanned);
}

TEST(Tokenizer, PromptsGetOneBos) {
  TokenizerSpec spec = tiny().spec();
  spec.post_processor = *parse_json(
      R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<eos>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<eos>":{"id":"<eos>","ids":[0],"tokens":["<eos>"]}}})");
  const auto t = Tokenizer::make(spec);
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(t->encode("<eos>a", true)->size(), 3u);
  EXPECT_EQ(t->encode_prompt("<eos>a")->size(), 2u);
  EXPECT_EQ(t->encode_prompt("a")->size(), 2u);
}

TEST(Tokenizer, BrokenFilesAreErrorsNeverCrashes) {
  const std::string good = tiny().to_json();
  Random random(7);
  int refused = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string bad = good;
    if (i % 3 == 0) {
      bad.resize(random.below(bad.size()));
    } else {
      for (int k = 0; k < 1 + i % 4; ++k) bad[random.below(bad.size())] = static_cast<char>(random.below(256));
    }
    const auto t = Tokenizer::from_json(bad);
    const auto ids = t.ok() ? t->encode("What is 1 plus <eos>?", true) : Result<std::vector<int32_t>>(t.error());
    if (ids.ok()) (void)t->decode(*ids, false);
    refused += t.ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 500);
}

TEST(Tokenizer, NamesWhatItDoesNotSupport) {
  const auto refuse = [](const std::string& text) { return Tokenizer::from_json(text).error().message; };
  EXPECT_NE(refuse(R"({"model":{"type":"Unigram"}})").find("Unigram"), std::string::npos);
  EXPECT_NE(refuse(R"({"model":{"type":"BPE","byte_fallback":true}})").find("byte_fallback"), std::string::npos);
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = "nosuch";
  EXPECT_NE(tokenizer_from_gguf(v).error().message.find("nosuch"), std::string::npos);
}

TEST(PreTokenizer, ScannersEqualTheirPatterns) {
  Random random(3);
  for (const std::string_view pattern : {kGpt2Pattern, kLlama3Pattern, kQwen2Pattern}) {
    const auto regex = Regex::compile(pattern);
    ASSERT_TRUE(regex.ok()) << regex.error().message;
    const Scanner scan = scanner_for(pattern);
    for (int i = 0; i < 3000; ++i) {
      std::string text = random_text(random, random.below(20));
      for (const char* part : {"'s", "'LL", "  \n ", " \t", "12345", "\xC5\xBF"}) {
        if (random.below(3) == 0) text += part + random_text(random, 2);
      }
      std::vector<std::pair<size_t, size_t>> want, got;
      RegexWork work = regex_work(text.size());
      ASSERT_TRUE(regex->find_all(text, want, work).ok());
      ASSERT_EQ(work.steps, regex_work(text.size()).steps);  // known patterns need no more than what each place has
      for (size_t at = 0; at < text.size();) {
        const size_t end = scan(text, at);
        got.emplace_back(at, end);
        at = end;
      }
      ASSERT_EQ(got, want) << pattern << " on " << text;
    }
  }
}

TEST(Unicode, NormalFormsOfTheStandard) {
  EXPECT_EQ(normalize("e\xCC\x81", NormalForm::Nfc), "\xC3\xA9");
  EXPECT_EQ(normalize("\xC3\xA9", NormalForm::Nfd), "e\xCC\x81");
}

TEST(Tokenizer, ReadsSmolLm2sGguf) {
  const std::string path = testing_data::smollm2();
  const auto parts = load_text(path, system_env());
  ASSERT_TRUE(parts.ok()) << parts.error().message;
  EXPECT_EQ(parts->tokenizer.vocab_size(), 49152);
  EXPECT_FALSE(parts->chat_template.empty());
  const auto ids = *parts->tokenizer.encode("<|im_start|>user\n12 plus 3<|im_end|>", false);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 2);
  EXPECT_EQ(parts->tokenizer.decode(ids, true), "user\n12 plus 3");
}

}  // namespace
}  // namespace retort::model
