// The attempt log against death at every transaction, and the database wrapper against bad files and full disks.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/hash.h"
#include "base/random.h"
#include "store/attempt_log.h"
#include "store/database.h"
#include "store/zstd_bytes.h"

namespace retort::store {
namespace {

class Store : public testing::Test {
 protected:
  Store() {
    std::string name = testing::TempDir() + "retort-store-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~Store() override { (void)system_env().remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

Outcome settled(int64_t attempt, const std::string& raw, UsdMicros charged) {
  Outcome o;
  o.attempt = attempt, o.settled = true, o.charged = charged, o.raw = raw, o.raw_hash = sha256(raw), o.record = "{}";
  o.prompt_tokens = 3, o.completion_tokens = 5;
  return o;
}

TEST_F(Store, ValuesComeBack) {
  auto db = Database::open(path("a"));
  ASSERT_TRUE(db.ok()) << db.error().message;
  ASSERT_TRUE(db->exec("CREATE TABLE t(a INTEGER, b TEXT, c BLOB)").ok());
  const std::string bytes("\0\xff'x", 4);
  {
    auto insert = db->prepare("INSERT INTO t VALUES(?1, ?2, ?3)");
    ASSERT_TRUE(insert->run(INT64_MIN, "é\n", Statement::Blob{bytes}).ok());
    ASSERT_TRUE(insert->run(7, std::string(), nullptr).ok());
  }
  auto query = db->prepare("SELECT a, b, c FROM t ORDER BY a");
  ASSERT_TRUE(query->step().value());
  EXPECT_EQ(query->integer(0), INT64_MIN);
  EXPECT_EQ(query->text(1), "é\n");
  EXPECT_EQ(query->text(2), bytes);
  ASSERT_TRUE(query->step().value());
  EXPECT_EQ(query->text(1), "");
  EXPECT_FALSE(query->step().value());
}

TEST_F(Store, FailedTransactionLeavesNothing) {
  auto db = Database::open(path("a"));
  ASSERT_TRUE(db->exec("CREATE TABLE t(a INTEGER)").ok());
  const Status failed = db->transaction([&]() -> Status {
    Status in = db->exec("INSERT INTO t VALUES(1)");
    if (!in.ok()) return in;
    return fail(Code::Invalid, "no");
  });
  EXPECT_EQ(failed.error().code, Code::Invalid);
  auto count = db->prepare("SELECT COUNT(*) FROM t");
  ASSERT_TRUE(count->step().value());
  EXPECT_EQ(count->integer(0), 0);
}

TEST_F(Store, ErrorsAreTyped) {
  ASSERT_TRUE(system_env().write_file(path("text"), std::string(4096, 'x')).ok());
  EXPECT_EQ(Database::open(path("text")).error().code, Code::Corrupt);
  EXPECT_EQ(Database::open(path("absent"), {.read_only = true}).error().code, Code::NotFound);
  EXPECT_EQ(Database::open(path("no/such/folder")).error().code, Code::Io);
  auto holder = Database::open(path("busy"));
  ASSERT_TRUE(holder->exec("CREATE TABLE t(a); BEGIN IMMEDIATE; INSERT INTO t VALUES(1);").ok());
  auto other = Database::open(path("busy"), {.busy_timeout_ms = 1});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->exec("BEGIN IMMEDIATE").error().code, Code::Unavailable);
}

// SQLite's own page limit stands for a full disk: the error says so, and after room is made the log goes on whole.
TEST_F(Store, FullDiskIsRecoverable) {
  auto db = Database::open(path("a"));
  ASSERT_TRUE(db->exec("CREATE TABLE t(b BLOB); PRAGMA max_page_count=8;").ok());
  auto insert = db->prepare("INSERT INTO t VALUES(zeroblob(60000))");
  const Status full = db->transaction([&] { return insert->run(); });
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, Code::Io);
  EXPECT_NE(full.error().message.find("disk is full"), std::string::npos);
  ASSERT_TRUE(db->exec("PRAGMA max_page_count=100000;").ok());
  EXPECT_TRUE(db->transaction([&] { return insert->run(); }).ok());
}

TEST_F(Store, PackedBytesComeBackAndDamageIsSeen) {
  Random random(2);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random.below(2000), 'a');
    for (char& c : bytes) c = static_cast<char>(random.below(i % 2 == 0 ? 256 : 3));
    std::string packed = pack(bytes).value();
    EXPECT_EQ(unpack(packed).value(), bytes);
    for (int k = 0; k < 20; ++k) {
      std::string bad = packed;
      if (k % 2 == 0)
        bad.resize(random.below(bad.size()));
      else
        bad[random.below(bad.size())] ^= static_cast<char>(1 + random.below(255));
      (void)unpack(bad);  // a value or an Error, never a crash
    }
  }
  EXPECT_EQ(unpack("").error().code, Code::Corrupt);
}

TEST_F(Store, InFlightOfADeadRunIsPossiblyCharged) {
  {
    auto log = AttemptLog::open(path("l"), system_env());
    ASSERT_TRUE(log.ok()) << log.error().message;
    const auto states = log->requests({{"a", 0, "h"}, {"a", 1, "h"}, {"b", 0, "h"}}).value();
    const auto attempts = log->send({{states[0].id, 100}, {states[1].id, 100}, {states[2].id, 100}}).value();
    ASSERT_TRUE(log->end({settled(attempts[0], "raw", 40)}).ok());
    Outcome busy;
    busy.attempt = attempts[2], busy.busy = true, busy.error = "429";
    ASSERT_TRUE(log->end({busy}).ok());
    EXPECT_EQ(log->spend()->charged, 40);
    EXPECT_EQ(log->spend()->reserved, 100);
  }  // dies with one in flight
  auto log = AttemptLog::open(path("l"), system_env());
  ASSERT_TRUE(log.ok()) << log.error().message;
  EXPECT_EQ(log->unknown_at_open(), 1);
  EXPECT_EQ(log->spend()->charged, 40);
  EXPECT_EQ(log->spend()->possibly, 100);
  EXPECT_EQ(log->spend()->reserved, 0);
  EXPECT_TRUE(log->request("a", 0, "h")->done);
  EXPECT_FALSE(log->request("a", 0, "other settings")->done);
  EXPECT_FALSE(log->request("a", 1, "h")->done);
  EXPECT_EQ(log->request("a", 1, "h")->attempts, 0);
  EXPECT_EQ(log->request("b", 0, "h")->busy, 1);
  const auto runs = log->summaries().value();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].settled.attempts, 1);
  EXPECT_EQ(runs[0].possibly.usd_micros, 100);
  EXPECT_TRUE(runs[1].resumed);
  // A late end of an attempt that was already booked as unknown changes nothing.
  EXPECT_EQ(log->record(log->request("a", 0, "h")->id).value(), "{}");
}

// Counts that no sum holds, as an older retort took them: the log opens and says the most it can.
TEST_F(Store, AbsurdCountsAreSummedToTheEndOfTheRange) {
  {
    auto log = AttemptLog::open(path("l"), system_env());
    for (const char* prompt : {"a", "b", "c"}) {
      Outcome huge = settled(log->send({{log->request(prompt, 0, "h")->id, 1}})->front(), "raw", UsdMicros::most());
      huge.completion_tokens = INT64_MAX - 1;
      ASSERT_TRUE(log->end({huge}).ok());
    }
  }
  auto log = AttemptLog::open(path("l"), system_env());
  ASSERT_TRUE(log.ok()) << log.error().message;
  ASSERT_TRUE(log->spend().ok());
  EXPECT_EQ(log->spend()->charged, UsdMicros::most());
  const auto runs = log->summaries();
  ASSERT_TRUE(runs.ok()) << runs.error().message;
  EXPECT_EQ(runs->front().settled.completion_tokens, INT64_MAX);
  EXPECT_EQ(runs->front().settled.usd_micros, UsdMicros::most());
  EXPECT_TRUE(log->request("a", 0, "h")->done);
}

// Somebody sets the clock a day ahead, then two days back: the run took the three seconds that it took.
TEST_F(Store, DurationsAreOfTheMonotonicClock) {
  class JumpyEnv final : public Env {
   public:
    int64_t wall = 1'771'754'400'000'000, monotonic = 5'000'000;
    int64_t wall_us() override { return wall; }
    int64_t monotonic_us() override { return monotonic; }
    void sleep_us(int64_t us) override { monotonic += us; }
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
  };
  JumpyEnv env;
  auto log = AttemptLog::open(path("l"), env);
  ASSERT_TRUE(log.ok()) << log.error().message;
  for (const int64_t jump : {86'400'000'000, -172'800'000'000}) {
    const auto attempts = log->send({{log->request(std::to_string(jump), 0, "h")->id, 1}}).value();
    env.monotonic += 1'500'000;
    env.wall += jump;
    ASSERT_TRUE(log->end({settled(attempts.front(), "raw", 1)}).ok());
  }
  const auto runs = log->summaries().value();
  EXPECT_EQ(runs.front().ended_us - runs.front().started_us, 3'000'000);
}

TEST_F(Store, AChangedResponseIsCorrupt) {
  int64_t id = 0;
  {
    auto log = AttemptLog::open(path("l"), system_env());
    id = log->request("a", 0, "h")->id;
    ASSERT_TRUE(log->end({settled(log->send({{id, 1}})->front(), "raw bytes", 1)}).ok());
  }
  {
    auto db = Database::open(path("l"));
    auto update = db->prepare("UPDATE responses SET raw = ?1");
    ASSERT_TRUE(update->run(Statement::Blob{pack("raw bytez").value()}).ok());
  }
  auto log = AttemptLog::open(path("l"), system_env());
  EXPECT_EQ(log->record(id).error().code, Code::Corrupt);
}

}  // namespace
}  // namespace retort::store
