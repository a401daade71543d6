#include <gtest/gtest.h>

#include <atomic>

#include "base/env.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/money.h"
#include "base/options.h"
#include "base/random.h"
#include "base/result.h"
#include "base/task_pool.h"
#include "base/text.h"

namespace retort {
namespace {

struct Inner {
  double lr = 3e-4;
  template <class V>
  void fields(V&& v) {
    v("lr", lr, "learning rate");
  }
};
struct Outer {
  int samples = 4;
  bool packed = true;
  std::vector<std::string> stop = {"a"};
  Inner optimizer;
  template <class V>
  void fields(V&& v) {
    v("samples", samples, "answers a prompt");
    v("packed", packed, "");
    v("stop", stop, "");
    v("optimizer", optimizer, "");
  }
};

TEST(Options, RoundTripAndHash) {
  Outer a, b;
  ASSERT_TRUE(load_options(b, *parse_yaml("samples: 7\noptimizer: {lr: 1e-3}\nstop: [x, y]\n")).ok());
  EXPECT_EQ(b.samples, 7);
  EXPECT_EQ(b.optimizer.lr, 1e-3);
  EXPECT_EQ(b.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_NE(options_hash(a), options_hash(b));
  Outer c;
  ASSERT_TRUE(load_options(c, dump_options(b)).ok());
  EXPECT_EQ(options_hash(b), options_hash(c));
}

TEST(Options, UnknownKeyNamesTheNearest) {
  Outer a;
  const auto status = load_options(a, *parse_yaml("optimizer: {rl: 1}"));
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("unknown option `optimizer.rl`; did you mean `optimizer.lr`?"),
            std::string::npos)
      << status.error().message;
}

struct Ranged {
  int count = 1;
  double share = 0.5;
  std::string shape = "round";
  std::vector<std::string> sides;
  template <class V>
  void fields(V&& v) {
    v("count", count, "of something", {.low = 1, .high = 1'000'000});
    v("share", share, "of all", {.high = 1, .above = 0});
    v("shape", shape, "of it", {.one_of = "round, square"});
    v("sides", sides, "of it", {.one_of = "left, right"});
  }
};

struct Prefixed {
  Ranged ranged;
  template <class V>
  void fields(V&& v) {
    ranged.fields(prefixed("my_", v));
  }
};

TEST(Options, AFieldSaysWhatItsValueMayBe) {
  const auto error = [](const char* json) {
    Ranged options;
    const Status status = load_options(options, parse_json(json).value());
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(error(R"({"count":"1000000","share":1,"shape":"square","sides":["left"]})"), "");
  EXPECT_EQ(error(R"({"count":0})"), "`count` is 0; give 1 to 1000000");
  EXPECT_EQ(error(R"({"share":0})"), "`share` is 0.0; give more than 0, at most 1");
  EXPECT_EQ(error(R"({"shape":"rund"})"), "`shape` is \"rund\"; give one of round, square (`round`?)");
  EXPECT_EQ(error(R"({"sides":"left,up"})"), "`sides` is \"up\"; give some of left, right");
  Ranged set;
  set.share = 2;
  EXPECT_FALSE(check_options(set).ok());
  EXPECT_EQ(options_schema(Ranged())["properties"]["count"]["maximum"], 1e6);
  EXPECT_EQ(options_schema(Ranged())["properties"]["shape"]["enum"].size(), 2u);
  Prefixed inner;
  ASSERT_TRUE(load_options(inner, {{"my_count", 7}}).ok());
  EXPECT_EQ(inner.ranged.count, 7);
  EXPECT_EQ(load_options(inner, {{"my_count", 0}}).error().message, "`my_count` is 0; give 1 to 1000000");
  EXPECT_EQ(dump_options(inner)["my_shape"], "round");
}

TEST(Options, SetReadsByType) {
  Outer a;
  Json given = Json::object();
  ASSERT_TRUE(apply_set(given, "optimizer.lr=0.5").ok());
  ASSERT_TRUE(apply_set(given, "packed=false").ok());
  ASSERT_TRUE(apply_set(given, "stop=p, q").ok());
  ASSERT_TRUE(load_options(a, given).ok());
  EXPECT_EQ(a.optimizer.lr, 0.5);
  EXPECT_FALSE(a.packed);
  EXPECT_EQ(a.stop, (std::vector<std::string>{"p", "q"}));
  EXPECT_FALSE(load_options(a, Json{{"samples", "4x"}}).ok());
  EXPECT_FALSE(load_options(a, Json{{"samples", 5000000000}}).ok());
}

TEST(Yaml, CoreSchemaAndFaults) {
  const auto json = parse_yaml("a: 1\nb: '1'\nc: 1.5\nd: yes\ne:\nf: true\n");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(to_text(*json), R"({"a":1,"b":"1","c":1.5,"d":"yes","e":null,"f":true})");
  EXPECT_FALSE(parse_yaml("a: [").ok());
  EXPECT_FALSE(parse_yaml("a: \xFF").ok());
  EXPECT_FALSE(parse_yaml(std::string_view("\x01\0\0\0\0\0\0b", 8)).ok());
  EXPECT_FALSE(parse_yaml("a: 1\na: 2\n").ok());
  EXPECT_EQ(parse_yaml("a:\n\tb: 1\n").error().message, "not YAML: line 2 has a tab at column 1; indent with spaces");
}

TEST(Json, DepthIsBounded) {
  EXPECT_TRUE(parse_json(std::string(200, '[') + std::string(200, ']')).ok());
  EXPECT_FALSE(parse_json(std::string(100000, '[')).ok());
  EXPECT_FALSE(parse_json("{} x").ok());
}

TEST(Json, MembersKeepTheirOrderHoweverMany) {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += fmt::format("\"k{}\":{},", i, i);  // in square time this would not end
  const auto wide = parse_json(text + "\"k7\":\"again\",\"last\":[1,{\"a\":null}]}");
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(wide->size(), 300'001u);
  EXPECT_EQ(wide->begin().key(), "k0");
  EXPECT_EQ((*wide)["k7"], "again");
  EXPECT_EQ(to_text(wide->back()), R"([1,{"a":null}])");
  EXPECT_EQ(to_text(*parse_json(R"({"b":1,"a":2,"b":{"c":[[],{}]}})")), R"({"b":{"c":[[],{}]},"a":2})");
  for (const char* bad : {"", "{", "[1,]", "{\"a\":1,}", "1e999", "\"\xFF\"", "nul"})
    EXPECT_FALSE(parse_json(bad).ok()) << bad;
}

TEST(Money, ExactBothWays) {
  EXPECT_EQ(*parse_usd("0.25"), 250000);
  EXPECT_EQ(*parse_usd("$3"), 3000000);
  EXPECT_EQ(*parse_usd("1e-3"), 1000);
  EXPECT_EQ(*parse_usd("0.000001"), 1);
  for (const char* bad : {"", "x", "-1", "1e-7", "0.0000001", "1e30", "1.2.3", "1e", "5 dollars"})
    EXPECT_FALSE(parse_usd(bad).ok()) << bad;
  EXPECT_EQ(format_usd(1234), "$0.001234");
  EXPECT_EQ(format_usd(2500000), "$2.50");
  EXPECT_EQ(format_usd(-1), "-$0.000001");
  EXPECT_EQ(token_cost(1, 1), 1);
  EXPECT_EQ(token_cost(1000000, 3000000), 3000000);
  EXPECT_EQ(token_cost(INT64_MAX, INT64_MAX), INT64_MAX);
  const UsdMicros most = UsdMicros::most(), least = INT64_MIN;
  EXPECT_EQ(most + 1, most);
  EXPECT_EQ(least + -1, least);
  EXPECT_EQ(least - 1, least);
  EXPECT_EQ(most - -1, most);
  EXPECT_EQ(3 * most, most);
  EXPECT_EQ(-3 * most, least);
  EXPECT_EQ(UsdMicros(5) - 7, -2);
  EXPECT_EQ(saturating_add(INT64_MAX, INT64_MAX), INT64_MAX);
  EXPECT_EQ(to_text({{"usd_micros", UsdMicros(7)}}), R"({"usd_micros":7})");
}

TEST(Random, PhiloxKnownAnswer) {
  // Random123's kat_vectors: philox4x32-10 with counter and key of zeros, then of ones.
  EXPECT_EQ(philox({0, 0, 0, 0}, 0), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, ~0ull),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Text, Utf8) {
  EXPECT_TRUE(is_utf8("h\xC3\xA9\xF0\x9F\x98\x80"));
  EXPECT_FALSE(is_utf8("\xC0\x80"));
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));
  EXPECT_EQ(to_utf8("a\xE2\x82"
                    "b\xFF"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(utf8_complete_prefix("a\xE2\x82"), 1u);
  EXPECT_EQ(utf8_complete_prefix("a\xE2\x82\xAC"), 4u);
  EXPECT_EQ(nearest("lerning_rate", {"learning_rate", "batch"}), "learning_rate");
  EXPECT_EQ(nearest("zzzz", {"learning_rate", "batch"}), "");
  EXPECT_EQ(nearest(std::string(64 << 20, 'x'), {"learning_rate", "batch"}), "");  // costs nothing
}

TEST(Hash, Sha256KnownAnswer) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(TaskPool, EveryTaskOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    TaskPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> hits(static_cast<size_t>(round));
      pool.run(round, [&](int i) { ++hits[static_cast<size_t>(i)]; });
      for (auto& h : hits) ASSERT_EQ(h.load(), 1);
    }
  }
}

TEST(Env, WriteFileIsWhole) {
  Env& env = system_env();
  const std::string dir = testing::TempDir() + "/retort_env_test";
  ASSERT_TRUE(env.make_directories(dir).ok());
  ASSERT_TRUE(env.write_file(dir + "/a", "one").ok());
  ASSERT_TRUE(env.write_file(dir + "/a", "two").ok());
  EXPECT_EQ(*env.read_file(dir + "/a"), "two");
  EXPECT_EQ(env.list_directory(dir)->size(), 1u);
  EXPECT_EQ(env.read_file(dir + "/missing").error().code, Code::NotFound);
  ASSERT_TRUE(env.remove_all(dir).ok());
  EXPECT_EQ(utc_time(1771754400000000), "2026-02-22T10:00:00Z");
}

}  // namespace
}  // namespace retort
