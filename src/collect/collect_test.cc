// The collector against a scripted teacher: death at every transaction, caps, retries, refusals; permission records;
// imports of the public sets.
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/progress.h"
#include "base/random.h"
#include "collect/collect.h"
#include "collect/import.h"
#include "collect/pace.h"
#include "collect/permission.h"
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
    out.tally = run(options_, place, permission(), kPrice, source, kept, dropped, teacher, env_);
    for (const Trace& t : kept.items) out.traces += to_text(encode(t)) + "\n";
    for (const Reject& r : dropped.items) out.rejects += to_text(encode(r)) + "\n";
    return out;
  }
  store::Spend spend(const std::string& store = "s") {
    return store::AttemptLog::open(folder_ + "/" + store, env_)->spend().value();
  }

  std::string folder_;
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
  prompts_.push_back(prompts_[0]);
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
  EXPECT_NE(absent.error().message.find("allowed_uses: []"), std::string::npos);
  // The form that is shown parses, and as it stands allows nothing.
  const auto form = parse_permission(permission_template(kEndpoint, kNow));
  ASSERT_TRUE(form.ok()) << form.error().message;
  EXPECT_FALSE(check_permission(*form, kEndpoint, kNow).ok());
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

}  // namespace
}  // namespace retort::collect
