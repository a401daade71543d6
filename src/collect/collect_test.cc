// The collector against a scripted teacher: death at every transaction, caps, retries, refusals; permission records;
// imports of the public sets.
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/random.h"
#include "collect/collect.h"
#include "collect/import.h"
#include "collect/pace.h"
#include "collect/permission.h"
#include "collect/plan.h"
#include "ledger/budget.h"
#include "tests/data.h"

namespace retort::collect {
namespace {

constexpr int64_t kNow = 1'771'754'400'000'000;  // 2026-02-22
constexpr const char* kEndpoint = "http://127.0.0.1:9/v1";

// The real world with a clock of its own: sleeping is instant.
class TestEnv final : public Env {
 public:
  int64_t wall_us() override { return kNow; }
  int64_t monotonic_us() override { return clock_; }
  void sleep_us(int64_t d) override { clock_ += d; }
  void random_bytes(std::span<uint8_t> out) override { real_.random_bytes(out); }
  Result<std::string> read_file(const std::string& p) override { return real_.read_file(p); }
  Status write_file(const std::string& p, std::string_view b) override { return real_.write_file(p, b); }
  Result<std::unique_ptr<AppendFile>> append_file(const std::string& p, bool t) override {
    return real_.append_file(p, t);
  }
  bool exists(const std::string& p) override { return real_.exists(p); }
  bool is_directory(const std::string& p) override { return real_.is_directory(p); }
  Result<int64_t> file_size(const std::string& p) override { return real_.file_size(p); }
  Status make_directories(const std::string& p) override { return real_.make_directories(p); }
  Result<std::vector<std::string>> list_directory(const std::string& p) override { return real_.list_directory(p); }
  Status rename(const std::string& a, const std::string& b) override { return real_.rename(a, b); }
  Status remove_all(const std::string& p) override { return real_.remove_all(p); }

 private:
  Env& real_ = system_env();
  int64_t clock_ = 1'000'000;
};

// Answers at once, from the script; remembers what it was asked and what it answered.
class Teacher final : public model::Generator {
 public:
  using Script = std::function<Result<model::Reply>(const std::string& key, int times)>;
  explicit Teacher(Script script) : script_(std::move(script)) {}
  void submit(model::Request request, model::Callbacks callbacks, Cancel) override {
    const std::string key = request.messages.back().content + "#" + std::to_string(request.sampling.seed.value_or(0));
    asked.push_back(key);
    auto reply = script_(key, asked_times_[key]++);
    if (reply.ok()) ++answered;
    callbacks.on_done(std::move(reply));
  }
  std::string name() const override { return "scripted"; }
  std::vector<std::string> asked;
  int answered = 0;

 private:
  Script script_;
  std::map<std::string, int> asked_times_;
};

model::Reply reply(const std::string& key, const std::string& finish = "stop") {
  model::Reply r;
  r.model = "m-1";
  r.usage = {10, 20, 5};
  r.choices.push_back({0, "", "thought of " + key, "answer to " + key, finish, {}});
  r.raw = "{\"raw\":\"" + key + "\"}";
  return r;
}
Error unavailable(int64_t retry_after_ms = -1, bool maybe_charged = false) {
  Error e = fail(Code::Unavailable, "the scripted teacher is away");
  e.retry_after_ms = retry_after_ms, e.maybe_charged = maybe_charged;
  return e;
}

Permission permission() {
  auto p = parse_permission(
      "name: Scripted\nendpoint: http://127.0.0.1:*/v1\nlicence: Apache-2.0\nclause: you may\nevidence: LICENSE\n"
      "checked_by: A. Person\ndate: 2026-01-02\nallowed_uses: [evaluation, distillation]\nexpires: 2026-12-31\n");
  EXPECT_TRUE(p.ok());
  return *p;
}
const ledger::Price kPrice{1'000'000, 2'000'000, 1'000'000, 2'000'000};

struct Outcome {
  Result<Tally> tally = fail(Code::Internal, "not run");
  std::string traces, rejects;
};

class Collect : public testing::Test {
 protected:
  Collect() {
    std::string name = testing::TempDir() + "retort-collect-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    Progress::silence(true);
    options_.endpoint = kEndpoint, options_.model = "m", options_.cap = "1.00", options_.samples = 3;
    options_.concurrency = 4, options_.max_tokens = 100, options_.seed = 1, options_.drain_ms = 100;
    for (int i = 0; i < 5; ++i) {
      Prompt p;
      p.id = "p" + std::to_string(i), p.answer = "7", p.task = "t";
      p.messages = {{"user", "question " + std::to_string(i), "", {}}};
      prompts_.push_back(p);
    }
  }
  ~Collect() override { (void)system_env().remove_all(folder_); }

  Outcome collect(Teacher& teacher, const std::string& store = "s", std::function<Status(const char*)> on_step = {},
                  Cancel cancel = {}) {
    Place place{folder_ + "/" + store, cancel, std::move(on_step)};
    VectorSource<Prompt> source(prompts_);
    VectorSink<Trace> kept;
    VectorSink<Reject> dropped;
    Outcome out;
    place.ended = ended_;
    out.tally = run(options_, place, permission(), kPrice, source, kept, dropped, teacher, env_);
    for (const Trace& t : kept.items) out.traces += to_text(encode(t)) + "\n";
    for (const Reject& r : dropped.items) out.rejects += to_text(encode(r)) + "\n";
    return out;
  }
  store::Spend spend(const std::string& store = "s") {
    return store::AttemptLog::open(folder_ + "/" + store, env_)->spend().value();
  }

  std::string folder_;
  std::optional<Error>* ended_ = nullptr;
  TestEnv env_;
  Options options_;
  std::vector<Prompt> prompts_;
};

TEST_F(Collect, EveryAnswerBecomesATraceInOrder) {
  Teacher teacher([](const std::string& key, int) { return reply(key, key[9] == '3' ? "length" : "stop"); });
  const Outcome out = collect(teacher);
  ASSERT_TRUE(out.tally.ok()) << out.tally.error().message;
  EXPECT_EQ(out.tally->kept, 15);
  EXPECT_EQ(out.tally->counts.at("truncated"), 3);
  EXPECT_EQ(std::set<std::string>(teacher.asked.begin(), teacher.asked.end()).size(), 15u);  // each with its own seed
  EXPECT_EQ(spend().charged, 15 * (10 + 40));
  // Again: nothing is asked, the same bytes come out.
  Teacher idle([](const std::string&, int) { return unavailable(); });
  const Outcome again = collect(idle);
  EXPECT_TRUE(idle.asked.empty());
  EXPECT_EQ(again.traces, out.traces);
  // Other settings are other requests.
  options_.temperature = 0.1;
  Teacher fresh([](const std::string& key, int) { return reply(key); });
  ASSERT_TRUE(collect(fresh).tally.ok());
  EXPECT_EQ(fresh.asked.size(), 15u);
}

// Death at every transaction in turn, then a resume: same bytes, nothing stored is bought again, at most `concurrency`
// are sent again, and the books hold at least what the teacher served.
TEST_F(Collect, DeathAtEachStepLosesNothing) {
  const auto script = [](const std::string& key, int times) -> Result<model::Reply> {
    if (key[9] == '2' && times == 0) return unavailable(1000);
    if (key[9] == '4') return times < 1 ? Result<model::Reply>(unavailable(-1, true)) : reply(key);
    return reply(key);
  };
  Teacher calm(script);
  const Outcome want = collect(calm, "calm");
  ASSERT_TRUE(want.tally.ok()) << want.tally.error().message;
  int deaths = 0;
  for (int at = 1;; ++at) {
    const std::string store = "dies" + std::to_string(at);
    Teacher teacher(script);
    int step = 0;
    const Outcome died = collect(teacher, store, [&](const char*) -> Status {
      if (++step == at) return fail(Code::Internal, "killed");
      return {};
    });
    if (died.tally.ok()) break;
    ++deaths;
    EXPECT_TRUE(died.traces.empty());
    const int answered_before = teacher.answered;
    int64_t stored = 0;  // what the store holds now
    {
      auto log = store::AttemptLog::open(folder_ + "/" + store, env_);
      const auto runs = log->summaries().value();
      EXPECT_LE(runs[0].possibly.attempts, 4 + 3) << "more than `concurrency` and the cut streams are unknown";
      stored = runs[0].settled.attempts;
      EXPECT_LE(answered_before - stored, options_.concurrency);
    }
    const Outcome resumed = collect(teacher, store);
    ASSERT_TRUE(resumed.tally.ok()) << at << ": " << resumed.tally.error().message;
    EXPECT_EQ(resumed.traces, want.traces) << at;
    EXPECT_EQ(to_text(encode(*resumed.tally)), to_text(encode(*want.tally)));
    EXPECT_EQ(teacher.answered, 15 + answered_before - stored) << "a stored answer was bought again";
    const auto spent = spend(store);
    EXPECT_GE(spent.charged + spent.possibly, 50 * teacher.answered) << at;
  }
  EXPECT_GT(deaths, 20);
}

TEST_F(Collect, ManyDeathsInARow) {
  const auto script = [](const std::string& key, int) { return Result<model::Reply>(reply(key)); };
  Teacher calm(script);
  const Outcome want = collect(calm, "calm");
  options_.cap = "1.00";
  Random random(3);
  for (int round = 0; round < 6; ++round) {
    const std::string store = "r" + std::to_string(round);
    Teacher teacher(script);
    for (int life = 0;; ++life) {
      ASSERT_LT(life, 100);
      int left = 3 + static_cast<int>(random.below(4)) + life / 4;
      const Outcome out = collect(teacher, store, [&](const char*) -> Status {
        if (--left == 0) return fail(Code::Internal, "killed");
        return {};
      });
      const auto spent = spend(store);
      ASSERT_LE(spent.charged + spent.possibly, 1'000'000);
      if (!out.tally.ok()) continue;
      EXPECT_EQ(out.traces, want.traces);
      break;
    }
  }
}

// Whatever the cap and however attempts end, it holds; and when it ends the run, what was bought is kept.
TEST_F(Collect, TheCapIsNeverPassed) {
  Random random(17);
  int limited = 0, finished = 0;
  for (int round = 0; round < 60; ++round) {
    const UsdMicros cap = random.between(0, 12'000);
    options_.cap = fmt::format("0.{:06}", cap.micros());
    const std::string store = "c" + std::to_string(round);
    Teacher teacher([&](const std::string& key, int) -> Result<model::Reply> {
      const uint64_t what = random.below(10);
      if (what == 0) return unavailable(5);
      if (what == 1) return unavailable(-1, true);
      if (what == 2) return unavailable();
      auto r = reply(key);
      r.usage = {random.between(0, 40), random.between(0, 100), 0};
      return r;
    });
    const Outcome out = collect(teacher, store);
    const auto spent = spend(store);
    ASSERT_LE(spent.charged + spent.possibly, cap);
    if (out.tally.ok()) {
      ++finished;
      continue;
    }
    ++limited;
    ASSERT_EQ(out.tally.error().code, Code::Limit) << out.tally.error().message;
    EXPECT_NE(out.tally.error().message.find("raise --cap"), std::string::npos);
    options_.cap = "2";
    Teacher rest([](const std::string& key, int) { return reply(key); });
    const Outcome more = collect(rest, store);
    ASSERT_TRUE(more.tally.ok()) << more.tally.error().message;
    EXPECT_EQ(rest.answered + teacher.answered, 15);
  }
  EXPECT_GT(limited, 5);
  EXPECT_GT(finished, 5);
}

TEST_F(Collect, ATeacherThatDoesNotSayItsUsageIsBookedAtTheWorstCase) {
  Teacher teacher([](const std::string& key, int) {
    auto r = reply(key);
    r.usage = {};
    return r;
  });
  ASSERT_TRUE(collect(teacher).tally.ok());
  EXPECT_EQ(spend().charged, 0);
  EXPECT_EQ(spend().possibly, 15 * worst_cost(kPrice, prompts_[0].messages, 100));
}

// What a teacher says it used, however absurd, is booked at the worst case and does no harm to the record.
TEST_F(Collect, CountsThatCannotBeAreBookedAtTheWorstCase) {
  const Usage lies[] = {{0, 0, 0, 0},
                        {10, 0, 0, 0},
                        {0, 20, 0, 0},
                        {-1, 20, 0, 0},
                        {10, -1, 0, 0},
                        {10, 20, -1, 0},
                        {10, 20, 0, -7},
                        {kMaxCount + 1, 20, 0, 0},
                        {10, INT64_MAX, 0, 0},
                        {10, 9'200'000'000'000'000'000, 0, 0},
                        {10, int64_t{1} << 53, 0, 0}};
  int round = 0;
  for (const Usage& lie : lies) {
    const std::string store = "lie" + std::to_string(round++);
    Teacher teacher([&](const std::string& key, int) {
      auto r = reply(key);
      r.usage = lie;
      return r;
    });
    const Outcome out = collect(teacher, store);
    ASSERT_TRUE(out.tally.ok()) << out.tally.error().message;
    EXPECT_EQ(out.tally->kept, 15);
    EXPECT_EQ(spend(store).charged, 0);
    EXPECT_EQ(spend(store).possibly, 15 * worst_cost(kPrice, prompts_[0].messages, 100)) << round;
  }
}

// The largest bills that a count can state, at a price where they pass 64 bits: nothing wraps, the run stops, what was
// bought is there, and the log opens.
TEST_F(Collect, LargeBillsStopTheRunAtItsCap) {
  options_.cap = "50000";
  Teacher teacher([&](const std::string& key, int) {
    auto r = reply(key);
    r.usage = {10, kMaxCount, 0};
    return r;
  });
  const UsdMicros price = 9'000'000'000'000;
  const ledger::Price dear{price, price, price, price};
  Place place{folder_ + "/s", {}, {}};
  for (int times = 0; times < 2; ++times) {
    VectorSource<Prompt> source(prompts_);
    VectorSink<Trace> kept;
    VectorSink<Reject> dropped;
    const auto tally = run(options_, place, permission(), dear, source, kept, dropped, teacher, env_);
    ASSERT_FALSE(tally.ok());
    EXPECT_EQ(tally.error().code, Code::Limit) << tally.error().message;
  }
  const Outcome out = collect(teacher);
  EXPECT_EQ(out.tally.error().code, Code::Limit);
  EXPECT_EQ(teacher.asked.size(), 4u);  // those that were in flight as the first bill came
}

// What no record can hold is a reject with its reason, booked, asked once, and the rest is kept.
TEST_F(Collect, AnAnswerThatCannotBeKeptIsRejected) {
  const std::string huge(kMaxLineBytes, 'x');
  Teacher teacher([&](const std::string& key, int) -> Result<model::Reply> {
    auto r = reply(key);
    if (key[9] == '1') r.choices[0].content = huge;
    if (key[9] == '3') {
      Error large = fail(Code::Invalid, "the answer is larger than 5 bytes");
      large.maybe_charged = true;
      return large;
    }
    return r;
  });
  options_.samples = 1;
  const Outcome out = collect(teacher);
  ASSERT_TRUE(out.tally.ok()) << out.tally.error().message;
  EXPECT_EQ(out.tally->kept, 3);
  EXPECT_EQ(out.tally->reasons, (std::map<std::string, int64_t>{{"unusable", 2}}));
  EXPECT_NE(out.rejects.find("over the limit of"), std::string::npos) << out.rejects;
  EXPECT_NE(out.rejects.find("larger than 5 bytes"), std::string::npos) << out.rejects;
  EXPECT_EQ(teacher.asked.size(), 5u);
  EXPECT_EQ(spend().charged, 4 * 50);
  EXPECT_EQ(spend().possibly, worst_cost(kPrice, prompts_[0].messages, 100));
  const Outcome again = collect(teacher);
  EXPECT_EQ(again.rejects, out.rejects);
  EXPECT_EQ(teacher.asked.size(), 5u);
}

// A store of an older retort may hold a record that no reader takes: it is rejected, the rest comes out.
TEST_F(Collect, AStoredRecordThatCannotBeReadIsRejected) {
  Teacher teacher([](const std::string& key, int) { return reply(key); });
  ASSERT_TRUE(collect(teacher).tally.ok());
  {
    auto db = store::Database::open(folder_ + "/s");
    ASSERT_TRUE(db->exec("UPDATE responses SET record = replace(record, '\"completion_tokens\":20', "
                         "'\"completion_tokens\":2199023255552') WHERE request = 2; "
                         "UPDATE attempts SET completion_tokens = 9200000000000000000, charged_usd_micros = "
                         "9200000000000000000 WHERE request < 4")
                    .ok());
  }
  const Outcome out = collect(teacher);
  ASSERT_TRUE(out.tally.ok()) << out.tally.error().message;
  EXPECT_EQ(out.tally->kept, 14);
  EXPECT_EQ(out.tally->reasons, (std::map<std::string, int64_t>{{"unusable", 1}}));
  EXPECT_EQ(spend().charged, UsdMicros::most());
  auto log = store::AttemptLog::open(folder_ + "/s", env_);
  const auto rows = cost_rows(*log, "collect", "m");
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->front().tokens_out, INT64_MAX);
}

// The cap or a Ctrl-C: what is bought comes out, the tally says what is missing, and the next run pays for that alone.
TEST_F(Collect, WhatIsBoughtIsWrittenOutWhenARunEndsEarly) {
  Teacher teacher([](const std::string& key, int) { return reply(key); });
  const Outcome whole = collect(teacher, "whole");
  const UsdMicros worst = worst_cost(kPrice, prompts_[0].messages, 100);
  options_.cap = fmt::format("0.{:06}", (3 * UsdMicros(50) + worst).micros());
  options_.concurrency = 1;
  std::optional<Error> ended;
  ended_ = &ended;
  Teacher first([](const std::string& key, int) { return reply(key); });
  const Outcome part = collect(first);
  ASSERT_TRUE(part.tally.ok());
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, Code::Limit);
  EXPECT_EQ(part.tally->kept, 4);
  EXPECT_EQ(part.tally->unfinished, 11);
  EXPECT_EQ(to_text(encode(*part.tally)),
            R"({"in":5,"kept":4,"dropped":0,"reasons":{},"counts":{},"incomplete":true,"unfinished":11})");
  EXPECT_TRUE(whole.traces.starts_with(part.traces));
  options_.cap = "1";
  ended.reset();
  const Outcome rest = collect(first);
  ASSERT_TRUE(rest.tally.ok());
  EXPECT_FALSE(ended);
  EXPECT_EQ(rest.traces, whole.traces);
  EXPECT_EQ(first.asked.size(), 15u);
  // With nothing bought there is nothing to write.
  Teacher broke([](const std::string&, int) { return fail(Code::Limit, "402: no credit"); });
  EXPECT_EQ(collect(broke, "broke").tally.error().code, Code::Limit);
}

TEST_F(Collect, KnobsCanBeLeftOutAndMembersAdded) {
  const auto params = [&] {
    VectorSource<Prompt> source(prompts_);
    return make_plan(options_, kPrice, source).value().items.front();
  };
  const Item plain = params();
  EXPECT_EQ(to_text(extra_members(options_).value()), "{}");
  options_.temperature.reset();
  options_.top_p.reset();
  options_.extra_body = R"({"reasoning_effort":"high","top_k":5})";
  const Item item = params();
  EXPECT_EQ(to_text(extra_members(options_).value()),
            R"({"reasoning_effort":"high","top_k":5,"temperature":null,"top_p":null})");
  EXPECT_EQ(find(item.params, "temperature"), nullptr);
  EXPECT_EQ(to_text(item.params["extra_body"]), R"({"reasoning_effort":"high","top_k":5})");
  EXPECT_NE(item.params_hash, plain.params_hash);
  EXPECT_GT(item.reserve, plain.reserve);
  for (const char* bad :
       {"[1]", "{", R"({"max_tokens":9})", R"({"n":4})", R"({"temperature":1})", R"({"stream":true})"}) {
    options_.extra_body = bad;
    const auto extra = extra_members(options_);
    ASSERT_FALSE(extra.ok()) << bad;
    EXPECT_EQ(extra.error().code, Code::Invalid);
    EXPECT_NE(extra.error().message.find("`extra_body`"), std::string::npos);
  }
  Options read;
  ASSERT_TRUE(load_options(read, parse_json(R"({"temperature":"unset","top_p":null})").value()).ok());
  EXPECT_FALSE(read.temperature || read.top_p);
  ASSERT_TRUE(load_options(read, parse_json(R"({"temperature":"0.25","top_p":0.5})").value()).ok());
  EXPECT_EQ(*read.temperature, 0.25);
  EXPECT_FALSE(load_options(read, parse_json(R"({"temperature":"warm"})").value()).ok());
}

// The clock is the test's own: how long it went on says how long the run held itself back.
TEST_F(Collect, LimitsAMinuteAreKept) {
  Teacher teacher([](const std::string& key, int) { return reply(key); });
  options_.requests_per_minute = 4;
  int64_t began = env_.monotonic_us();
  ASSERT_TRUE(collect(teacher).tally.ok());
  EXPECT_GE(env_.monotonic_us() - began, 3 * 60'000'000);  // 15 requests: 4, 4, 4, 3
  EXPECT_LT(env_.monotonic_us() - began, 4 * 60'000'000);
  options_.requests_per_minute = 0;
  options_.tokens_per_minute = 250;  // each may take some 110 and takes 30, so that five fit beside the one under way
  began = env_.monotonic_us();
  ASSERT_TRUE(collect(teacher, "t").tally.ok());
  EXPECT_GE(env_.monotonic_us() - began, 60'000'000);
  EXPECT_LT(env_.monotonic_us() - began, 4 * 60'000'000);
}

TEST_F(Collect, FailuresAreRetriedThenRejected) {
  Teacher teacher([](const std::string& key, int times) -> Result<model::Reply> {
    if (key[9] == '0') return unavailable();
    if (key[9] == '1') {
      auto r = reply(key);
      r.choices[0].content = r.choices[0].reasoning = "";
      return r;
    }
    if (key[9] == '2') return fail(Code::Invalid, "context too long");
    if (key[9] == '3' && times < 3) return unavailable(times == 0 ? 2000 : -1);
    return reply(key);
  });
  options_.max_refused = 4;
  const Outcome out = collect(teacher);
  ASSERT_TRUE(out.tally.ok()) << out.tally.error().message;
  EXPECT_EQ(out.tally->kept, 6);
  EXPECT_EQ(out.tally->reasons, (std::map<std::string, int64_t>{{"empty", 3}, {"failed", 3}, {"refused", 3}}));
  EXPECT_NE(out.rejects.find("context too long"), std::string::npos);
  EXPECT_GT(env_.monotonic_us(), 3'000'000);                         // the Retry-After of two seconds was kept
  EXPECT_EQ(spend().charged, (6 + 3 * options_.max_attempts) * 50);  // empty answers cost, too
}

TEST_F(Collect, AWrongKeyEndsTheRunAndRejectsNothing) {
  Teacher teacher([](const std::string&, int) { return fail(Code::Invalid, "401: wrong key"); });
  const Outcome out = collect(teacher);
  ASSERT_FALSE(out.tally.ok());
  EXPECT_EQ(out.tally.error().code, Code::Invalid);
  EXPECT_NE(out.tally.error().message.find("wrong key"), std::string::npos);
  EXPECT_LE(teacher.asked.size(), 12u);
  Teacher good([](const std::string& key, int) { return reply(key); });
  EXPECT_EQ(collect(good).tally->kept, 15);
}

TEST_F(Collect, NothingButGarbageEndsTheRunAndRejectsNothing) {
  options_.max_attempts = 2;
  options_.max_refused = 8;
  const auto empty = [](const std::string& key) {
    auto r = reply(key);
    r.choices[0].content = r.choices[0].reasoning = "";
    return r;
  };
  // Empty answers that cost, then HTML that may have.
  Teacher garbage([&](const std::string& key, int) -> Result<model::Reply> {
    if (key[9] == '0') return empty(key);
    return unavailable(-1, true);
  });
  const Outcome out = collect(garbage);
  ASSERT_FALSE(out.tally.ok());
  EXPECT_EQ(out.tally.error().code, Code::Unavailable);
  for (const char* part : {kEndpoint, " of 15 samples were given up", " failed", "the scripted teacher is away",
                           "sample ", "is booked", "run the same command again"})
    EXPECT_NE(out.tally.error().message.find(part), std::string::npos) << out.tally.error().message;
  EXPECT_LT(garbage.asked.size(), 15u * 2);  // it gave up before all had been tried to the end
  const auto spent = spend();
  EXPECT_EQ(spent.charged, garbage.answered * 50);
  EXPECT_EQ(spent.possibly, (static_cast<int64_t>(garbage.asked.size()) - garbage.answered) *
                                worst_cost(kPrice, prompts_[0].messages, 100));
  EXPECT_NE(out.tally.error().message.find(format_usd(spent.charged + spent.possibly)), std::string::npos);
  // The next run asks all of them again, and what was paid before stays booked.
  Teacher good([](const std::string& key, int) { return reply(key); });
  const Outcome next = collect(good);
  ASSERT_TRUE(next.tally.ok()) << next.tally.error().message;
  EXPECT_EQ(next.tally->kept, 15);
  EXPECT_EQ(next.tally->dropped, 0);
  EXPECT_EQ(spend().charged, spent.charged + 15 * 50);
  EXPECT_EQ(spend().possibly, spent.possibly);
}

TEST_F(Collect, QuotaAndCancelEndTheRun) {
  Teacher broke([](const std::string&, int) { return fail(Code::Limit, "402: no credit"); });
  EXPECT_EQ(collect(broke).tally.error().code, Code::Limit);
  Cancel cancel;
  Teacher teacher([&](const std::string& key, int) {
    cancel.request();
    return reply(key);
  });
  const Outcome out = collect(teacher, "s", {}, cancel);
  EXPECT_EQ(out.tally.error().code, Code::Cancelled);
  EXPECT_EQ(spend().charged, teacher.answered * 50);  // what was under way was stored
}

TEST_F(Collect, BadOptionsAndDuplicateIdsAreRefusedBeforeAnythingIsAsked) {
  Teacher teacher([](const std::string& key, int) { return reply(key); });
  const auto refused = [&](const Options& bad) {
    options_ = bad;
    const Outcome out = collect(teacher);
    return !out.tally.ok() && out.tally.error().code == Code::Invalid;
  };
  const Options good = options_;
  for (auto change : std::vector<std::function<void(Options&)>>{
           [](Options& o) { o.cap = ""; }, [](Options& o) { o.cap = "-1"; }, [](Options& o) { o.samples = 0; },
           [](Options& o) { o.max_tokens = 0; }, [](Options& o) { o.top_p = 0; },
           [](Options& o) { o.temperature = -1; }, [](Options& o) { o.model = ""; },
           [](Options& o) { o.endpoint = "https://api.example.com/v1"; }}) {
    Options bad = good;
    change(bad);
    EXPECT_TRUE(refused(bad));
  }
  prompts_.push_back(prompts_[0]);  // the same question again is dropped, another one under its id is refused
  prompts_.back().messages.back().content += " Or another?";
  EXPECT_TRUE(refused(good));
  EXPECT_TRUE(teacher.asked.empty());
}

TEST(Pace, HalvesOnceABurstAndGrowsBack) {
  Pace pace(16);
  for (int i = 0; i < 16; ++i) pace.turned_away(100, 200 + i, 50);
  EXPECT_EQ(pace.limit(), 8);
  EXPECT_FALSE(pace.may_send(0, 50'100));
  EXPECT_TRUE(pace.may_send(0, 51'000));
  for (int i = 0; i < 1000; ++i) pace.answered();
  EXPECT_EQ(pace.limit(), 16);
  for (int64_t i = 0; i < 10; ++i) pace.turned_away(1'000'000 * (i + 1), 1'000'000 * (i + 1) + 1, -1);
  EXPECT_EQ(pace.limit(), 1);
}

TEST(PermissionRecord, RefusalsNameWhatIsWrong) {
  const auto why = [](std::function<void(Permission&)> change, const char* endpoint = kEndpoint) -> std::string {
    Permission p = permission();
    change(p);
    const Status status = check_permission(p, endpoint, kNow);
    return status.ok() ? "" : status.error().message;
  };
  EXPECT_EQ(why([](Permission&) {}), "");
  EXPECT_EQ(why([](Permission& p) { p.expires = "never"; }), "");
  EXPECT_EQ(why([](Permission& p) { p.expires = "2026-02-22"; }), "");
  EXPECT_NE(why([](Permission& p) { p.expires = "2026-02-21"; }).find("expired on 2026-02-21"), std::string::npos);
  EXPECT_NE(why([](Permission& p) { p.allowed_uses = {"evaluation"}; }).find("allowed_uses: [distillation]"),
            std::string::npos);
  EXPECT_NE(why([](Permission& p) { p.licence = ""; }).find("`licence`"), std::string::npos);
  EXPECT_NE(why([](Permission& p) { p.clause = " "; }).find("`clause`"), std::string::npos);
  EXPECT_NE(why([](Permission& p) { p.checked_by = ""; }).find("`checked_by`"), std::string::npos);
  EXPECT_NE(why([](Permission& p) { p.date = "yesterday"; }).find("yesterday"), std::string::npos);
  EXPECT_NE(why([](Permission& p) { p.date = "2026-03-01"; }).find("2026-03-01"), std::string::npos);
  EXPECT_NE(why([](Permission&) {}, "https://api.openai.com/v1").find("https://api.openai.com/v1"), std::string::npos);
  const auto typo = parse_permission("nmae: x");
  ASSERT_FALSE(typo.ok());
  EXPECT_NE(typo.error().message.find("`name`"), std::string::npos) << typo.error().message;
  TestEnv env;
  const auto absent = load_permission("/nowhere/permission.yaml", kEndpoint, env);
  ASSERT_FALSE(absent.ok());
  EXPECT_NE(absent.error().message.find("retort permission new --endpoint"), std::string::npos);
  EXPECT_EQ(absent.error().message.find("allowed_uses: []"), std::string::npos);
  // The form that is shown where no file is given parses, and as it stands allows nothing.
  const auto none = load_permission("", kEndpoint, env);
  ASSERT_FALSE(none.ok());
  const size_t at = none.error().message.find("name: ");
  ASSERT_NE(at, std::string::npos);
  const auto form = parse_permission(none.error().message.substr(at));
  ASSERT_TRUE(form.ok()) << form.error().message;
  EXPECT_FALSE(check_permission(*form, kEndpoint, kNow).ok());
}

TEST(PermissionRecord, APasswordInTheEndpointIsRefusedUnseen) {
  TestEnv env;
  for (const char* endpoint : {"https://me:hunter2-secret@h/v1", "https://hunter2-secret@h?x"}) {
    for (const Status& status :
         {check_permission(permission(), endpoint, kNow), Status(load_permission("/nowhere", endpoint, env).error())}) {
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.error().message.find("hunter2"), std::string::npos) << status.error().message;
      EXPECT_NE(status.error().message.find("--key-file"), std::string::npos);
    }
  }
  EXPECT_TRUE(check_endpoint("https://h/v1?at=me@home").ok());
}

TEST(PermissionRecord, EndpointsMatchByWholeParts) {
  EXPECT_TRUE(endpoint_matches("https://API.example.com/v1/", "https://api.example.com:443/v1"));
  EXPECT_TRUE(endpoint_matches("https://api.example.com", "https://api.example.com/v1"));
  EXPECT_TRUE(endpoint_matches("http://127.0.0.1:*/v1", "http://127.0.0.1:41234/v1"));
  EXPECT_TRUE(endpoint_matches("import", "import"));
  EXPECT_FALSE(endpoint_matches("https://api.example.com/v1", "https://api.example.com/v10"));
  EXPECT_FALSE(endpoint_matches("https://api.example.com", "https://api.example.com.evil.org/v1"));
  EXPECT_FALSE(endpoint_matches("https://api.example.com/v1", "http://api.example.com/v1"));
  EXPECT_FALSE(endpoint_matches("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"));
  EXPECT_FALSE(endpoint_matches("import", "https://api.example.com/v1"));
  EXPECT_TRUE(endpoint_matches("https://h/v1", "https://h/v1?api-version=3"));
  EXPECT_TRUE(endpoint_matches("https://h/v1", "https://h/v1/a..b"));
  for (const char* evil : {"https://h/v1/../evil", "https://h/v1/%2E%2e/evil", "https://h/v1/..\\evil",
                           "https://h/v1/./x", "https://h/v1/..%2Fevil", "https://h/v1/..?x"})
    EXPECT_FALSE(endpoint_matches("https://h/v1", evil)) << evil;
}

Permission import_permission() {
  Permission p = permission();
  p.endpoint = "import";
  return p;
}

Result<Tally> import(Source<Row>& rows, VectorSink<Trace>& kept, VectorSink<Reject>& dropped,
                     ImportOptions options = {}) {
  TestEnv env;
  return run_import(options, import_permission(), rows, kept, dropped, env);
}

TEST(Import, Gsm8kIsWhole) {
  RETORT_SHARED_OR_SKIP(path, "gsm8k/train.jsonl");
  auto rows = open_jsonl<Row>(path);
  VectorSink<Trace> kept;
  VectorSink<Reject> dropped;
  const auto tally = import(**rows, kept, dropped);
  ASSERT_TRUE(tally.ok()) << tally.error().message;
  EXPECT_EQ(tally->in, 7473);
  EXPECT_EQ(tally->kept, 7473);
  for (const Trace& t : kept.items) {
    ASSERT_EQ(t.reasoning.find("<<"), std::string::npos) << t.prompt_id;
    ASSERT_EQ(t.reasoning.find("####"), std::string::npos) << t.prompt_id;
    ASSERT_FALSE(t.reasoning.empty());
    ASSERT_EQ(t.content, "The answer is \\boxed{" + t.answer + "}.");
  }
  EXPECT_EQ(kept.items[0].reasoning,
            "Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 72 clips altogether in April and May.");
  EXPECT_EQ(kept.items[0].answer, "72");
  EXPECT_EQ(kept.items[0].finish_reason, "imported");
  EXPECT_EQ(kept.items[0].permission_hash.size(), 64u);
}

TEST(Import, PublicReasoningTraces) {
  RETORT_SHARED_OR_SKIP(path, "traces/reasoning_traces.jsonl");
  auto rows = open_jsonl<Row>(path);
  VectorSink<Trace> kept;
  VectorSink<Reject> dropped;
  const auto tally = import(**rows, kept, dropped);
  ASSERT_TRUE(tally.ok()) << tally.error().message;
  EXPECT_EQ(tally->kept, 15);
  for (const Trace& t : kept.items) EXPECT_FALSE(t.reasoning.empty()) << t.prompt_id;
}

TEST(Import, FormsOfDialogue) {
  std::vector<Row> list;
  for (
      const char* text :
      {R"({"id":"a","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"r","reasoning_content":"t"}]})",
       R"({"id":"b","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"<think>\nt\n</think>\n\nr"}]})",
       R"({"id":"c","messages":[{"role":"user","content":"q"}]})", R"({"id":"d"})",
       R"({"id":"e","question":"q","response":""})",
       R"({"id":"f","question":"q","reasoning":"t","response":"r","answer":3})"})
    list.push_back({parse_json(text).value()});
  VectorSource<Row> rows(list);
  VectorSink<Trace> kept;
  VectorSink<Reject> dropped;
  const auto tally = import(rows, kept, dropped);
  ASSERT_TRUE(tally.ok()) << tally.error().message;
  ASSERT_EQ(kept.items.size(), 3u);
  for (const Trace& t : kept.items) {
    EXPECT_EQ(t.reasoning, "t");
    EXPECT_EQ(t.content, "r");
  }
  EXPECT_EQ(tally->reasons, (std::map<std::string, int64_t>{{"empty", 1}, {"malformed", 2}}));
  EXPECT_EQ(without_annotations("a << b\n<<1+1=2>>2 <<x"), "a << b\n2 <<x");
  const std::string open(4 << 20, '<');  // linear: this many unclosed ones take no time
  EXPECT_EQ(without_annotations(open), open);
}

std::vector<Row> rows_of(std::initializer_list<const char*> texts) {
  std::vector<Row> out;
  for (const char* text : texts) out.push_back({parse_json(text).value()});
  return out;
}

TEST(Import, OneQuestionsAnswersAreItsSamples) {
  VectorSource<Row> rows(rows_of({R"({"question":"q","reasoning":"t","response":"r","answer":"3"})",
                                  R"({"question":"q","reasoning":"u","response":"s","answer":"4"})",
                                  R"({"question":"other","generations":["<think>a</think>b","c"]})",
                                  R"({"question":"q","reasoning":"t","response":"r","answer":"3"})"}));
  VectorSink<Trace> kept;
  VectorSink<Reject> dropped;
  const auto tally = import(rows, kept, dropped);
  ASSERT_TRUE(tally.ok()) << tally.error().message;
  ASSERT_EQ(kept.items.size(), 5u);
  std::vector<int> samples;
  std::set<std::string> ids;
  for (const Trace& t : kept.items) samples.push_back(t.sample), ids.insert(t.id);
  EXPECT_EQ(samples, (std::vector<int>{0, 1, 0, 1, 2}));
  EXPECT_EQ(ids.size(), 5u);
  EXPECT_EQ(kept.items[0].prompt_id, kept.items[4].prompt_id);
  EXPECT_EQ(kept.items[1].answer, "4");
  EXPECT_EQ(kept.items[2].reasoning, "a");
  VectorSource<Row> two(
      rows_of({R"({"id":"x","question":"q","response":"r"})", R"({"id":"x","question":"p","response":"r"})"}));
  const auto clash = import(two, kept, dropped);
  ASSERT_FALSE(clash.ok());
  EXPECT_NE(clash.error().message.find("row 2 has the id `x` of row 1"), std::string::npos) << clash.error().message;
}

TEST(Import, ColumnsOfManyNames) {
  VectorSource<Row> rows(rows_of({
      R"({"question":"a","reasoning":"t","answer":"r"})",
      R"({"prompt":"b","completion":"<think>t</think>r"})",
      R"({"prompt":[{"role":"user","content":"c"}],"completion":[{"role":"assistant","content":"<think>t</think>r"}]})",
      R"({"problem":"d","generation":"t</think>r"})",
  }));
  VectorSink<Trace> kept;
  VectorSink<Reject> dropped;
  auto tally = import(rows, kept, dropped);
  ASSERT_TRUE(tally.ok()) << tally.error().message;
  ASSERT_EQ(kept.items.size(), 4u) << (dropped.items.empty() ? "" : dropped.items[0].detail);
  for (const Trace& t : kept.items) EXPECT_EQ(t.reasoning + "|" + t.content, "t|r") << t.messages[0].content;

  ImportOptions options;
  options.columns = {"question=q", "content=gen", "answer=gold"};
  VectorSource<Row> named(rows_of(
      {R"({"q":"what","prompt":"not this","gen":"<think>t</think>r","response":"nor this","gold":7,"rule":"number"})"}));
  VectorSink<Trace> one;
  tally = import(named, one, dropped, options);
  ASSERT_TRUE(tally.ok()) << tally.error().message;
  ASSERT_EQ(one.items.size(), 1u);
  EXPECT_EQ(one.items[0].messages[0].content, "what");
  EXPECT_EQ(one.items[0].content, "r");
  EXPECT_EQ(one.items[0].answer, "7");
  EXPECT_EQ(one.items[0].rule, "number");
  for (const auto& [given, sign] : {std::pair("question", "NAME=COLUMN"), {"contnt=x", "`content`"}}) {
    options.columns = {given};
    VectorSource<Row> none(std::vector<Row>{});
    const auto bad = import(none, one, dropped, options);
    ASSERT_FALSE(bad.ok());
    EXPECT_NE(bad.error().message.find(sign), std::string::npos) << bad.error().message;
  }
}

}  // namespace
}  // namespace retort::collect
