#include "model/gguf.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "model/weights_fixture.h"

namespace retort::model {
namespace {

using fixture::GgufBuilder;
using fixture::raw;

GgufBuilder sample() {
  GgufBuilder g;
  g.pair("u8", 0, raw<uint8_t>(200));
  g.pair("i8", 1, raw<int8_t>(-3));
  g.pair("u16", 2, raw<uint16_t>(60000));
  g.pair("i16", 3, raw<int16_t>(-300));
  g.u32("u32", 4000000000u);
  g.pair("i32", 5, raw<int32_t>(-70000));
  g.f32("f32", 0.25f);
  g.boolean("bool", true);
  g.string("string", "text");
  g.strings("strings", {"", "a", "bc"});
  g.ints("ints", {-1, 0, 7});
  g.pair("u64", 10, raw<uint64_t>(1ull << 40));
  g.pair("i64", 11, raw<int64_t>(-(1ll << 40)));
  g.pair("f64", 12, raw<double>(0.1));
  g.pair("floats", 9, raw<uint32_t>(6) + raw<uint64_t>(2) + raw(1.5f) + raw(-2.0f));
  g.pair("nested", 9,
         raw<uint32_t>(9) + raw<uint64_t>(2) + raw<uint32_t>(0) + raw<uint64_t>(3) + "abc" + raw<uint32_t>(8) +
             raw<uint64_t>(1) + GgufBuilder::text("x"));
  g.tensor("w", {3, 32}, 8, std::string(3 * 34, 'w'));
  g.tensor("n", {5}, 0, std::string(20, 'n'));
  g.tensor("k", {2, 256}, 12, std::string(288, 'k'));
  return g;
}

TEST(Gguf, ReadsEveryValueTypeAndTheTensors) {
  for (const uint32_t version : {2u, 3u}) {
    GgufBuilder g = sample();
    g.version = version;
    const std::string bytes = g.bytes();
    const auto read = parse_gguf(bytes, "f");
    ASSERT_TRUE(read.ok()) << read.error().message;
    const GgufMetadata& m = read->metadata;
    EXPECT_EQ(m.keys().size(), 16u);
    const std::pair<const char*, int64_t> integers[] = {{"u8", 200},        {"i8", -3},           {"u16", 60000},
                                                        {"i16", -300},      {"u32", 4000000000},  {"i32", -70000},
                                                        {"u64", 1ll << 40}, {"i64", -(1ll << 40)}};
    for (const auto& [key, value] : integers) EXPECT_EQ(*m.get_int(key, 0), value) << key;
    EXPECT_EQ(*m.get_double("f32", 0), 0.25);
    EXPECT_EQ(*m.get_double("f64", 0), 0.1);
    EXPECT_EQ(*m.get_bool("bool", false), true);
    EXPECT_EQ(*m.get_string("string", ""), "text");
    EXPECT_EQ(*m.get_strings("strings"), (std::vector<std::string_view>{"", "a", "bc"}));
    EXPECT_EQ(*m.get_ints("ints"), (std::vector<int64_t>{-1, 0, 7}));
    EXPECT_EQ(*m.get_floats("floats"), (std::vector<float>{1.5f, -2.0f}));
    EXPECT_EQ(m.find("nested")->count, 2u);
    EXPECT_EQ(*m.get_int("absent", 9), 9);
    EXPECT_TRUE(m.get_strings("absent")->empty());
    EXPECT_EQ(m.describe("strings"), "[3 x string]");
    const auto wrong = m.get_int("string", 0);
    ASSERT_FALSE(wrong.ok());
    EXPECT_NE(wrong.error().message.find("`string`"), std::string::npos);
    EXPECT_FALSE(m.get_bool("u8", false).ok());
    EXPECT_FALSE(m.get_strings("ints").ok());

    ASSERT_EQ(read->tensors.size(), 3u);
    EXPECT_EQ(read->tensors[0].shape, (Shape{3, 32}));
    EXPECT_EQ(read->tensors[0].dtype, DType::Q8_0);
    EXPECT_EQ(read->tensors[0].bytes, std::string(3 * 34, 'w'));
    EXPECT_EQ(read->tensors[1].bytes, std::string(20, 'n'));
    EXPECT_EQ(read->tensors[2].type, "Q4_K");
    EXPECT_FALSE(read->tensors[2].dtype.has_value());
  }
}

TEST(Gguf, EachLieIsNamed) {
  struct Case {
    std::string bytes;
    const char* says;
  };
  const auto pair = [](uint32_t type, const std::string& payload) {
    GgufBuilder g;
    g.pair("key", type, payload);
    return g.bytes();
  };
  const auto info = [](std::vector<int64_t> shape, uint32_t type, uint64_t offset) {
    GgufBuilder g;
    g.info("t", shape, type, offset);
    g.data = std::string(64, '\0');
    return g.bytes();
  };
  const auto counts = [](uint64_t tensors, uint64_t pairs) {
    return "GGUF" + raw<uint32_t>(3) + raw(tensors) + raw(pairs);
  };
  GgufBuilder twice, tensor_twice, overlap, alignment, odd_alignment;
  twice.u32("key", 1);
  twice.u32("key", 2);
  tensor_twice.tensor("t", {1}, 0, "1234");
  tensor_twice.tensor("t", {1}, 0, "1234");
  overlap.info("a", {16}, 0, 0);
  overlap.info("b", {8}, 0, 32);
  overlap.data = std::string(64, '\0');
  alignment.u32("general.alignment", 0);
  odd_alignment.u32("general.alignment", 48);
  std::string deep;
  for (int i = 0; i < 10; ++i) deep += raw<uint32_t>(9) + raw<uint64_t>(1);
  const Case cases[] = {
      {"", "the magic needs 4 bytes"},
      {"GGML" + std::string(100, '\0'), "begins with `GGML`"},
      {"GGUF" + raw<uint32_t>(1) + std::string(100, '\0'), "version 1 is not supported"},
      {"GGUF" + raw<uint32_t>(0x03000000) + std::string(100, '\0'), "big-endian"},
      {counts(0, 1'000'000), "the metadata count is 1000000"},
      {counts(UINT64_MAX, 0), "the tensor count is 18446744073709551615"},
      {pair(13, ""), "value type 13"},
      {pair(7, raw<uint8_t>(2)), "a boolean of value 2"},
      {pair(8, raw<uint64_t>(UINT64_MAX)), "metadata `key` needs 18446744073709551615 bytes"},
      {pair(9, raw<uint32_t>(4) + raw<uint64_t>(UINT64_MAX / 4)), "metadata `key` claims"},
      {pair(9, raw<uint32_t>(8) + raw<uint64_t>(1u << 30)), "metadata `key` claims 1073741824 elements"},
      {pair(9, deep), "deeper than 4"},
      {twice.bytes(), "metadata `key` comes twice"},
      {tensor_twice.bytes(), "tensor `t` comes twice"},
      {overlap.bytes(), "`a` and `b` overlap at offset 32"},
      {alignment.bytes(), "general.alignment is 0"},
      {odd_alignment.bytes(), "general.alignment is 48"},
      {info({1, 1, 1, 1, 1}, 0, 0), "5 dimensions"},
      {info({int64_t{1} << 40, int64_t{1} << 40}, 0, 0), "more than 2^62"},
      {info({4}, 999, 0), "ggml type 999"},
      {info({4}, 0, 7), "offset 7"},
      {info({4}, 0, 96), "lies at 96 and takes 16 bytes"},
      {info({32}, 0, 0), "takes 128 bytes, but the file has 64"},
      {info({33}, 8, 0), "no multiple of 32"},
      {info({-1}, 0, 0), "a dimension of 18446744073709551615"},
  };
  for (const Case& c : cases) {
    const auto read = parse_gguf(c.bytes, "file.gguf");
    ASSERT_FALSE(read.ok()) << c.says;
    EXPECT_NE(read.error().message.find(c.says), std::string::npos) << read.error().message << "\nwanted: " << c.says;
    EXPECT_EQ(read.error().message.rfind("file.gguf: ", 0), 0u) << read.error().message;
  }
}

TEST(Gguf, RemovedTypesAreListedByName) {
  GgufBuilder g;
  g.info("t", {32}, 4, 0);
  const auto read = parse_gguf(g.bytes(), "f");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->tensors[0].type, "Q4_2");
}

TEST(Gguf, MutationsNeverCrash) {
  const std::string good = sample().bytes();
  const size_t header = good.size() - sample().data.size();
  Random random(13);
  int accepted = 0;
  const auto probe = [&](const std::string& bytes) {
    const auto own = std::make_unique<char[]>(bytes.size());  // exact size: the sanitizer sees any read past the end
    std::copy(bytes.begin(), bytes.end(), own.get());
    const auto read = parse_gguf({own.get(), bytes.size()}, "f");
    if (!read.ok()) return;
    ++accepted;
    for (const std::string& key : read->metadata.keys()) {
      (void)read->metadata.describe(key);
      (void)read->metadata.get_strings(key);
      (void)read->metadata.get_ints(key);
      (void)read->metadata.get_floats(key);
    }
    for (const StoredTensor& t : read->tensors) {
      if (t.dtype) {
        ASSERT_EQ(static_cast<int64_t>(t.bytes.size()), *byte_size(*t.dtype, t.shape));
        (void)to_f32(*as_tensor(t, nullptr));
      }
    }
  };
  for (size_t cut = 0; cut < good.size(); ++cut) probe(good.substr(0, cut));
  EXPECT_EQ(accepted, 0) << "a file cut short was accepted";
  for (size_t at = 0; at < header; ++at) {
    for (const int value : {0, 1, 0x7F, 0x80, 0xFF}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(value);
      probe(bytes);
    }
  }
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    const int edits = static_cast<int>(random.between(1, 4));
    for (int e = 0; e < edits; ++e) bytes[random.below(header)] = static_cast<char>(random.below(256));
    probe(bytes);
  }
}

}  // namespace
}  // namespace retort::model
