#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mapped_file.h"
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

TEST(Json, ManyMembersTakeLinearTime) {
  Json object = Json::object();
  for (int i = 0; i < 200000; ++i) object["k" + std::to_string(i)] = i;  // hours with a map that looks through all
  EXPECT_EQ(object.size(), 200000u);
  EXPECT_EQ(object["k199999"], 199999);
  EXPECT_EQ(parse_json(to_text(object))->size(), 200000u);
  EXPECT_EQ(*parse_json(to_text(object)), object);
  EXPECT_EQ(parse_json(to_text(object)).value().begin().key(), "k0");  // in their order
}

// Against a vector that is looked through, over the sizes at which the index comes and goes.
TEST(Json, MembersAreAnOrderedMap) {
  Random random(3);
  Json object = Json::object();
  std::vector<std::pair<std::string, int>> model;
  const auto at = [&](const std::string& key) {
    return std::find_if(model.begin(), model.end(), [&](const auto& m) { return m.first == key; });
  };
  for (int i = 0; i < 20000; ++i) {
    const std::string key = "k" + std::to_string(random.below(i % 4000 < 2000 ? 12 : 60));
    const auto it = at(key);
    if (random.below(3) == 0) {
      EXPECT_EQ(object.erase(key), it == model.end() ? 0u : 1u);
      if (it != model.end()) model.erase(it);
    } else {
      object[key] = i;
      if (it == model.end())
        model.emplace_back(key, i);
      else
        it->second = i;
    }
    if (random.below(500) == 0) {
      const Json copy = object;
      Json moved = std::move(object);
      object = Json::object();
      object["k1"] = 1;
      object = std::move(moved);
      EXPECT_EQ(object, copy);
    }
    ASSERT_EQ(object.size(), model.size());
    size_t k = 0;
    for (const auto& [name, value] : object.items()) {
      ASSERT_EQ(name, model[k].first);
      ASSERT_EQ(value, model[k++].second);
    }
    ASSERT_EQ(object.contains("k7"), at("k7") != model.end());
  }
}

TEST(Text, ShownIsInert) {
  EXPECT_EQ(shown("a\x1b[2Jb\r\n\tc\x7f"), "a\\u001b[2Jb\\u000d\\u000a\\u0009c\\u007f");
  EXPECT_EQ(shown("a\n\tb\x07", true), "a\n\tb\\u0007");
  EXPECT_EQ(shown("\xC2\x9B"
                  "31m \xE2\x80\xAE"
                  "evil\xE2\x81\xA9 \xEF\xBB\xBF"),
            "\\u009b31m \\u202eevil\\u2069 \\ufeff");
  EXPECT_EQ(shown("\xC3\xA9 \xF0\x9F\x98\x80 \xE4\xB8\xAD"), "\xC3\xA9 \xF0\x9F\x98\x80 \xE4\xB8\xAD");
  EXPECT_EQ(shown("\x9B\xFF"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  const std::string cut = shown(std::string(1 << 20, 'x'), false, 100);
  EXPECT_LT(cut.size(), 150u);
  EXPECT_NE(cut.find("(1048501 bytes more)"), std::string::npos);
  EXPECT_EQ(*parse_json(shown(to_text("\xC2\x9B\xE2\x80\xAE"))), "\xC2\x9B\xE2\x80\xAE");  // JSON stays what it says
}

TEST(TaskPool, AnExceptionReachesTheCaller) {
  TaskPool pool(4);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> inside{0};
    try {
      pool.run(100, [&](int i) {
        ++inside;
        if (i % 7 == 3) {
          --inside;
          throw std::runtime_error("task");
        }
        --inside;
      });
      FAIL();
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "task");
    }
    EXPECT_EQ(inside.load(), 0);  // nobody runs the body any more
  }
  // Nobody is taken for a worker for good: two threads work, which a serial loop could not do.
  std::atomic<int> arrived{0};
  pool.run(2, [&](int) {
    ++arrived;
    for (int i = 0; i < 1000 && arrived < 2; ++i) system_env().sleep_us(10'000);
    EXPECT_EQ(arrived.load(), 2);
  });
  EXPECT_TRUE(check_threads(0).ok());
  EXPECT_TRUE(check_threads(64).ok());
  const Status refused = check_threads(100000);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("this machine has"), std::string::npos);
}

TEST(Env, OnlyRegularFilesAreRead) {
  const std::string dir = testing::TempDir() + "/retort_special";
  ASSERT_TRUE(system_env().make_directories(dir).ok());
  const std::string pipe = dir + "/pipe", zero = dir + "/zero", sparse = dir + "/sparse";
  ::unlink(pipe.c_str());
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::remove(zero);
  std::filesystem::create_symlink("/dev/zero", zero);
  for (const std::string& path : {pipe, zero, dir}) {
    EXPECT_EQ(system_env().read_file(path).error().code, Code::Invalid) << path;
    EXPECT_EQ(MappedFile::open(path).error().code, Code::Invalid) << path;
    EXPECT_EQ(sha256_file(path).error().code, Code::Invalid) << path;
  }
  ASSERT_TRUE(system_env().write_file(sparse, "").ok());
  std::filesystem::resize_file(sparse, size_t{1} << 42);
  EXPECT_EQ(read_file(system_env(), sparse, kMaxSmallFile).error().code, Code::Limit);
  ASSERT_TRUE(system_env().remove_all(dir).ok());
}

TEST(MappedFile, CutShortIsAnErrorAndNoSignal) {
  const std::string path = testing::TempDir() + "/retort_cut";
  const std::string text(1 << 16, 'x');
  for (const size_t left : {size_t{0}, size_t{5000}, size_t{8192}, text.size() - 1}) {
    ASSERT_TRUE(system_env().write_file(path, text).ok());
    const auto file = MappedFile::open(path);
    ASSERT_TRUE(file.ok());
    EXPECT_TRUE((*file)->whole().ok());
    std::filesystem::resize_file(path, left);
    size_t kept = 0;
    for (const char c : (*file)->bytes()) kept += c == 'x' ? 1 : 0;
    EXPECT_EQ(kept, left);  // zeros behind its end
    const Status whole = (*file)->whole();
    ASSERT_FALSE(whole.ok());
    EXPECT_EQ(whole.error().code, Code::Corrupt);
    // Also where it has its size again.
    if (left + 8192 < text.size()) {
      std::filesystem::resize_file(path, text.size());
      EXPECT_FALSE((*file)->whole().ok());
    }
  }
  std::filesystem::remove(path);
}

TEST(Yaml, IsBoundedInBytesAndTime) {
  const std::string wide = "[*a" + [] {
    std::string out;
    for (int i = 0; i < 99; ++i) out += ",*a";
    return out;
  }() + "]";
  const std::string laughs = "a: &a \"" + std::string(100000, 'x') + "\"\nb: &b " + wide + "\nc: &c " +
                             replace_all(wide, "*a", "*b") + "\nd: " + replace_all(wide, "*a", "*c") + "\n";
  EXPECT_EQ(parse_yaml(laughs).error().code, Code::Limit);
  std::string many;
  for (int i = 0; i < 100000; ++i) many += "k" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(parse_yaml(many)->size(), 100000u);
  EXPECT_NE(parse_yaml(many + "k77777: 2\n").error().message.find("stands twice"), std::string::npos);
}

}  // namespace
}  // namespace retort
