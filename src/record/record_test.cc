// Round trips of every record, the shapes of prompts that data sets use, line files under damage, and the accounting.
#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/random.h"
#include "record/example.h"
#include "record/prompt.h"
#include "record/reject.h"
#include "record/score.h"
#include "record/stream.h"
#include "record/tally.h"
#include "record/trace.h"
#include "tests/data.h"

namespace retort {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = testing::TempDir() + "retort-record-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() { (void)system_env().remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

void write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
std::string read(const std::string& path) { return system_env().read_file(path).value(); }

std::string some_text(Random& random) {
  static const char* const kPieces[] = {"a", "7",  " ", "\n",       "\"", "\\",   "\t",
                                        "é", "汉", "🜍", "</think>", "{",  "\x01", "0.5"};
  std::string text;
  for (uint64_t n = random.below(12); n > 0; --n) text += kPieces[random.below(std::size(kPieces))];
  return text;
}
std::vector<Message> some_messages(Random& random) {
  std::vector<Message> out;
  for (uint64_t n = random.below(3); n > 0; --n) {
    Message m{random.below(2) == 0 ? "assistant" : "user", some_text(random), some_text(random), {}};
    if (random.below(3) == 0) m.extra = {{"name", some_text(random)}, {"tool_calls", {1, 2, {{"x", nullptr}}}}};
    out.push_back(m);
  }
  out.push_back({"user", some_text(random), "", {}});
  return out;
}
std::string an_id(Random& random) { return "p/" + std::to_string(random.next()); }

template <class T>
T some(Random& random);
template <>
Prompt some(Random& r) {
  Prompt p{an_id(r), some_messages(r), some_text(r), some_text(r), {}};
  if (r.below(2) == 0) p.meta = {{"solution", some_text(r)}, {"n", r.next()}};
  return p;
}
template <>
Trace some(Random& r) {
  Trace t;
  t.id = an_id(r), t.prompt_id = an_id(r), t.sample = static_cast<int>(r.below(100)), t.messages = some_messages(r);
  t.answer = some_text(r), t.task = some_text(r), t.reasoning = some_text(r), t.content = some_text(r);
  t.finish_reason = some_text(r), t.teacher = some_text(r), t.model = some_text(r), t.permission_hash = some_text(r);
  t.raw_hash = some_text(r), t.params = {{"temperature", r.uniform()}, {"max_tokens", r.below(10)}};
  t.usage = {r.between(0, 1 << 20), r.between(0, 1ll << 40), r.between(0, 9)};
  return t;
}
template <>
Example some(Random& r) {
  return {an_id(r),     {an_id(r), an_id(r)}, an_id(r),     some_messages(r), some_text(r), some_text(r),
          some_text(r), some_text(r),         some_text(r), some_text(r),     some_text(r)};
}
template <>
Score some(Random& r) {
  return {an_id(r),        an_id(r),        static_cast<int>(r.below(9)),
          some_text(r),    some_text(r),    some_text(r),
          some_text(r),    r.below(2) == 0, some_text(r),
          some_text(r),    some_text(r),    some_text(r),
          r.between(0, 99)};
}
template <>
Reject some(Random& r) {
  return {an_id(r), some_text(r), an_id(r), some_text(r)};
}
template <>
Tally some(Random& r) {
  return {r.between(0, 99), r.between(0, 99), r.between(0, 99), r.between(0, 99), {{some_text(r), 4}, {"b", 2}},
          {{"c", 3}}};
}

template <class T>
class RoundTrip : public testing::Test {};
using Records = testing::Types<Prompt, Trace, Example, Score, Reject, Tally>;
TYPED_TEST_SUITE(RoundTrip, Records);

// decode(text(encode(x))) has the same bytes as x again, and every scalar changes them (nothing is forgotten).
TYPED_TEST(RoundTrip, Holds) {
  Random random(7);
  std::set<std::string> distinct;
  for (int i = 0; i < 500; ++i) {
    const TypeParam record = some<TypeParam>(random);
    const std::string text = to_text(encode(record));
    TypeParam back;
    const Status status = decode(parse_json(text).value(), back);
    ASSERT_TRUE(status.ok()) << status.error().message << "\n" << text;
    EXPECT_EQ(to_text(encode(back)), text);
    distinct.insert(text);
  }
  EXPECT_GT(distinct.size(), 400u);
}

// A member of a wrong type is an Invalid that names it, for each member of each record.
TYPED_TEST(RoundTrip, WrongTypesAreNamed) {
  Random random(8);
  const Json good = encode(some<TypeParam>(random));
  for (const auto& [key, value] : good.items()) {
    if (key == "params" || key == "meta") continue;  // any JSON is good there
    Json bad = good;
    bad[key] = value.is_string() ? Json({{"x", 1}}) : Json("text");
    TypeParam out;
    const Status status = decode(bad, out);
    ASSERT_FALSE(status.ok()) << key;
    EXPECT_EQ(status.error().code, Code::Invalid);
    EXPECT_TRUE(status.error().message.find(key) != std::string::npos || key == "messages") << status.error().message;
  }
  TypeParam out;
  EXPECT_FALSE(decode(Json(3), out).ok());
}

// 20,000 damaged lines: never a crash, and what decodes encodes.
TEST(Score, CountsAreBounded) {
  Score score;
  for (const char* tokens : {"-1", "9223372036854775807"}) {
    const auto json = parse_json(fmt::format(R"({{"id":"s","prompt_id":"p","tokens":{}}})", tokens));
    const Status status = decode(*json, score);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find("`tokens`"), std::string::npos) << status.error().message;
  }
}

TYPED_TEST(RoundTrip, DamagedBytesNeverCrash) {
  Random random(9);
  int decoded = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = to_text(encode(some<TypeParam>(random)));
    if (random.below(2) == 0) text.resize(random.below(text.size()));
    for (uint64_t n = random.below(4); n > 0 && !text.empty(); --n)
      text[random.below(text.size())] = static_cast<char>(random.below(256));
    const auto json = parse_json(text);
    TypeParam out;
    if (json.ok() && decode(*json, out).ok()) {
      ++decoded;
      EXPECT_FALSE(to_text(encode(out)).empty());
    }
  }
  EXPECT_GT(decoded, 100);
}

TEST(Message, RoundTripKeepsEveryMember) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    for (const Message& m : some_messages(random)) {
      Message back;
      ASSERT_TRUE(decode(encode(m), back).ok());
      EXPECT_EQ(back, m);
    }
  }
}

TEST(Message, TooManyMembersAreNoMessage) {
  Json json = {{"role", "user"}, {"content", "x"}};
  for (int i = 0; i < 300; ++i) json[std::to_string(i)] = i;
  Message message;
  EXPECT_EQ(decode(json, message).error().code, Code::Invalid);
}

TEST(Message, PartsAndReasoningNames) {
  Message m;
  ASSERT_TRUE(
      decode(
          parse_json(R"({"role":"assistant","content":[{"type":"reasoning","value":"hm"},{"type":"text","text":"7"}]})")
              .value(),
          m)
          .ok());
  EXPECT_EQ(m.reasoning, "hm");
  EXPECT_EQ(m.content, "7");
  ASSERT_TRUE(decode(parse_json(R"({"role":"assistant","content":null,"reasoning":"hm"})").value(), m).ok());
  EXPECT_EQ(m.reasoning, "hm");
  EXPECT_TRUE(m.extra.is_null());
  EXPECT_FALSE(decode(parse_json(R"({"role":"user","content":[{"type":"image_url"}]})").value(), m).ok());
}

Prompt prompt(const std::string& text) {
  Prompt p;
  const Status status = decode(parse_json(text).value(), p);
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  return p;
}

TEST(Prompt, ShapesOfDataSets) {
  for (const char* key : {"prompt", "question", "problem", "input", "instruction"}) {
    const Prompt p = prompt(fmt::format(R"({{"id":3,"{}":"How many?","answer":43.0}})", key));
    EXPECT_EQ(p.id, "3");
    ASSERT_EQ(p.messages.size(), 1u);
    EXPECT_EQ(p.messages[0].role, "user");
    EXPECT_EQ(p.messages[0].content, "How many?");
    EXPECT_EQ(p.answer, "43");
  }
  const Prompt gsm = prompt(R"({"question":"q","answer":"He has 2+3=<<2+3=5>>5.\n#### 5"})");
  EXPECT_EQ(gsm.answer, "5");
  EXPECT_EQ(gsm.meta["solution"], "He has 2+3=<<2+3=5>>5.");
  EXPECT_EQ(gsm.id.size(), 16u);
  EXPECT_EQ(gsm.id, prompt(R"({"question":"q"})").id);
  const Prompt share = prompt(
      R"({"conversations":[{"from":"system","value":"s"},{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"gold":"1/2"})");
  ASSERT_EQ(share.messages.size(), 2u);
  EXPECT_EQ(share.messages[1].role, "user");
  EXPECT_EQ(share.answer, "1/2");
  EXPECT_EQ(share.meta["answered"][0]["content"], "b");
  EXPECT_EQ(prompt(R"({"instruction":"Add.","input":"1 2"})").messages[0].content, "Add.\n\n1 2");
  EXPECT_EQ(prompt(R"({"prompt":[{"role":"user","content":"x"}]})").messages[0].content, "x");
  Prompt out;
  const Status status = decode(parse_json(R"({"text":"x"})").value(), out);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("`problem`"), std::string::npos);
  EXPECT_FALSE(decode(parse_json(R"({"messages":[]})").value(), out).ok());
  EXPECT_FALSE(decode(parse_json(R"({"messages":[{"role":"assistant","content":"x"}]})").value(), out).ok());
}

TEST(Kind, AReaderSaysWhatItMet) {
  const auto error = [](const char* text, auto record) {
    const Status status = decode(parse_json(text).value(), record);
    return status.ok() ? std::string() : status.error().message;
  };
  const char* prompt = R"({"id":"1","question":"q","answer":"2"})";
  const char* trace = R"({"id":"1","prompt_id":"p","messages":[],"content":"2","finish_reason":"stop","raw_hash":"a"})";
  const char* example = R"({"id":"1","parents":[],"messages":[],"content":"2","how":"vote"})";
  EXPECT_EQ(error(prompt, Example()), "a prompt, not an example: `messages`, `content` is missing");
  EXPECT_TRUE(error(prompt, Trace()).starts_with("a prompt, not a trace: `messages`, `content` is missing"));
  EXPECT_TRUE(error(trace, Example()).starts_with("a trace, not an example; "));
  EXPECT_EQ(error(example, Trace()), "an example, not a trace");
  EXPECT_EQ(error(trace, Trace()), "");
  EXPECT_EQ(error(example, Example()), "");
  EXPECT_EQ(error(R"({"id":"1","messages":[],"content":"by hand"})", Example()), "");
  EXPECT_EQ(error(R"({"id":"1"})", Example()), "no example: `messages`, `content` is missing");
}

TEST(Prompt, ReadsThePublicSets) {
  RETORT_SHARED_OR_SKIP(gsm8k, "gsm8k/train.jsonl");
  for (const std::string& path :
       {gsm8k, testing_data::shared("mawps/mawps_dev.jsonl"), testing_data::shared("svamp/svamp_dev.jsonl"),
        testing_data::shared("gsm8k/mgsm.jsonl.zst")}) {
    auto source = open_jsonl<Prompt>(path);
    ASSERT_TRUE(source.ok()) << path;
    const auto all = read_all(**source);
    ASSERT_TRUE(all.ok()) << all.error().message;
    EXPECT_GT(all->size(), 100u) << path;
    for (const Prompt& p : *all) {
      EXPECT_FALSE(p.answer.empty()) << path << " " << p.id;
      EXPECT_EQ(p.answer.find("####"), std::string::npos) << p.id;
      EXPECT_EQ(p.messages.size(), 1u);
    }
  }
}

TEST(Lines, WrittenLinesComeBackPlainAndPacked) {
  const Folder folder;
  Random random(3);
  for (const std::string name : {"a.jsonl", "a.jsonl.zst"}) {
    std::vector<std::string> lines;
    for (int i = 0; i < 3000; ++i)
      lines.push_back(std::string(random.below(i % 100 == 0 ? 300000 : 300), 'x') + std::to_string(i));
    for (int twice = 0; twice < 2; ++twice) {
      auto sink = create_lines(folder / name, system_env());
      ASSERT_TRUE(sink.ok());
      for (const auto& line : lines) ASSERT_TRUE((*sink)->put(line).ok());
      EXPECT_EQ(system_env().exists(folder / name), twice == 1);  // nothing there before close()
      ASSERT_TRUE((*sink)->close().ok());
      const std::string bytes = read(folder / name);
      static std::string first;
      EXPECT_TRUE(twice == 0 || bytes == first) << "bytes differ between two equal runs";
      first = bytes;
    }
    auto source = open_lines(folder / name);
    ASSERT_TRUE(source.ok());
    const auto back = read_all(**source);
    ASSERT_TRUE(back.ok());
    EXPECT_TRUE(*back == lines);
  }
  EXPECT_LT(read(folder / "a.jsonl.zst").size(), read(folder / "a.jsonl").size() / 4);
}

TEST(Lines, AbandonedSinkLeavesNothing) {
  const Folder folder;
  {
    auto sink = create_lines(folder / "x.jsonl", system_env());
    ASSERT_TRUE((*sink)->put("1").ok());
    EXPECT_FALSE((*sink)->put("a\nb").ok());
  }
  EXPECT_TRUE(system_env().list_directory(folder.path)->empty());
}

TEST(Lines, EdgesOfFiles) {
  const Folder folder;
  const auto lines = [&](const std::string& bytes) {
    write(folder / "f", bytes);
    auto source = open_lines(folder / "f");
    return read_all(**source).value();
  };
  EXPECT_TRUE(lines("").empty());
  EXPECT_EQ(lines("a"), (std::vector<std::string>{"a"}));
  EXPECT_EQ(lines("a\n\nb\n"), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(lines("\xEF\xBB\xBF{}\n"), (std::vector<std::string>{"{}"}));
  EXPECT_EQ(open_lines(folder / "absent").error().code, Code::NotFound);
  EXPECT_EQ(open_lines(folder.path).error().code, Code::Invalid);
  write(folder / "long", "ok\n" + std::string(kMaxLineBytes + 2, 'x'));
  auto source = open_lines(folder / "long");
  ASSERT_TRUE((*source)->next().ok());
  const auto over = (*source)->next();
  ASSERT_FALSE(over.ok());
  EXPECT_NE(over.error().message.find("line 2"), std::string::npos);
}

TEST(Lines, ErrorsNameFileAndLine) {
  const Folder folder;
  write(folder / "t.jsonl", R"({"id":"a","reason":"r"})"
                            "\n\n"
                            R"({"id":)"
                            "\n");
  auto source = open_jsonl<Reject>(folder / "t.jsonl");
  ASSERT_TRUE((*source)->next().ok());
  const auto bad = (*source)->next();
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().message.find("t.jsonl line 3"), std::string::npos) << bad.error().message;
}

// Every truncation and random damage of a packed file ends in a value or an Error, and a cut one never looks whole.
TEST(Lines, DamagedZstdIsNeverSilentlyShort) {
  const Folder folder;
  {
    auto sink = create_lines(folder / "a.zst", system_env());
    for (int i = 0; i < 200; ++i) ASSERT_TRUE((*sink)->put("line " + std::to_string(i * 7919)).ok());
    ASSERT_TRUE((*sink)->close().ok());
  }
  const std::string whole = read(folder / "a.zst");
  const auto count = [&](const std::string& bytes) -> Result<size_t> {
    write(folder / "b.zst", bytes);
    RETORT_ASSIGN(auto source, open_lines(folder / "b.zst"));
    RETORT_ASSIGN(const auto lines, read_all(*source));
    return lines.size();
  };
  EXPECT_EQ(count(whole).value(), 200u);
  for (size_t n = 1; n < whole.size(); ++n) {
    const auto cut = count(whole.substr(0, n));
    ASSERT_FALSE(cut.ok()) << n;
    EXPECT_EQ(cut.error().code, Code::Corrupt);
  }
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = whole;
    bytes[random.below(bytes.size())] ^= static_cast<char>(1 + random.below(255));
    const auto got = count(bytes);
    EXPECT_TRUE(!got.ok() || *got == 200u);  // the checksum finds the rest
  }
}

TEST(Tally, AccountingFindsLostAndForeignIds) {
  Accounting good;
  good.in("a"), good.in("b");
  good.kept(std::vector<std::string>{"a"});
  good.dropped("b", "loop");
  const auto tally = good.finish();
  ASSERT_TRUE(tally.ok());
  EXPECT_EQ(tally->in, 2);
  EXPECT_EQ(tally->kept, 1);
  EXPECT_EQ(tally->reasons.at("loop"), 1);
  Accounting lost;
  for (const char* id : {"a", "b", "c", "d", "e"}) lost.in(id);
  lost.dropped("c", "x");
  const auto missing = lost.finish();
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Code::Internal);
  EXPECT_NE(missing.error().message.find("`a`, `b`, `d`"), std::string::npos) << missing.error().message;
  Accounting foreign;
  foreign.in("a");
  foreign.kept(std::vector<std::string>{"a", "z"});
  EXPECT_NE(foreign.finish().error().message.find("`z`"), std::string::npos);
}

}  // namespace
}  // namespace retort
