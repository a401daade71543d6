#include "store/attempt_log.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "store/zstd_bytes.h"

namespace retort::store {
namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT OR IGNORE INTO meta VALUES('format', 'retort attempt log 1');
INSERT OR IGNORE INTO meta VALUES('id', lower(hex(randomblob(4))));
CREATE TABLE IF NOT EXISTS runs(id INTEGER PRIMARY KEY, started_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS requests(
  id INTEGER PRIMARY KEY,
  prompt_id TEXT NOT NULL,
  sample INTEGER NOT NULL,
  params_hash TEXT NOT NULL,
  reject_reason TEXT NOT NULL DEFAULT '',
  reject_detail TEXT NOT NULL DEFAULT '',
  UNIQUE(prompt_id, sample, params_hash)) STRICT;
CREATE TABLE IF NOT EXISTS attempts(
  id INTEGER PRIMARY KEY,
  request INTEGER NOT NULL REFERENCES requests(id),
  run INTEGER NOT NULL REFERENCES runs(id),
  state TEXT NOT NULL CHECK(state IN ('sent', 'settled', 'failed', 'unknown')),
  busy INTEGER NOT NULL DEFAULT 0,
  possibly INTEGER NOT NULL DEFAULT 0,
  reserved_usd_micros INTEGER NOT NULL,
  charged_usd_micros INTEGER NOT NULL DEFAULT 0,
  prompt_tokens INTEGER NOT NULL DEFAULT 0,
  completion_tokens INTEGER NOT NULL DEFAULT 0,
  reasoning_tokens INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '',
  sent_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX IF NOT EXISTS attempts_request ON attempts(request);
CREATE INDEX IF NOT EXISTS attempts_in_flight ON attempts(state) WHERE state = 'sent';
CREATE TABLE IF NOT EXISTS responses(
  request INTEGER PRIMARY KEY REFERENCES requests(id),
  attempt INTEGER NOT NULL REFERENCES attempts(id),
  raw BLOB NOT NULL,
  raw_hash TEXT NOT NULL,
  record TEXT NOT NULL) STRICT;
)sql";

Status check_format(Database& db) {
  RETORT_ASSIGN(auto query, db.prepare("SELECT value FROM meta WHERE key = 'format'"));
  RETORT_ASSIGN(const bool found, query.step());
  if (!found || query.text(0) != "retort attempt log 1")
    return fail(Code::Corrupt,
                "{} is an attempt log of another version (`{}`); use the retort that wrote it, or a new "
                "folder",
                db.path(), found ? query.text(0) : "");
  return {};
}

}  // namespace

Result<AttemptLog> AttemptLog::open(const std::string& path, Env& env) {
  RETORT_ASSIGN(auto db, Database::open(path));
  // One writer at a time: two collectors on one log would each think the other's requests in flight were dead.
  RETORT_TRY(db.exec("PRAGMA locking_mode=EXCLUSIVE"));
  AttemptLog log(std::move(db), env);
  Status done = log.db_.transaction([&]() -> Status {
    RETORT_TRY(log.db_.exec(kSchema));
    RETORT_TRY(check_format(log.db_));
    RETORT_ASSIGN(auto count, log.db_.prepare("SELECT COUNT(*) FROM attempts WHERE state = 'sent'"));
    RETORT_TRY(count.step());
    log.unknown_at_open_ = count.integer(0);
    RETORT_ASSIGN(auto book,
                  log.db_.prepare("UPDATE attempts SET state = 'unknown', possibly = 1, charged_usd_micros = "
                                  "reserved_usd_micros, error = 'the run died while this was in flight' "
                                  "WHERE state = 'sent'"));
    RETORT_TRY(book.run());
    RETORT_ASSIGN(auto run, log.db_.prepare("INSERT INTO runs(started_us) VALUES(?1)"));
    RETORT_TRY(run.run(log.now_us()));
    log.run_ = log.db_.last_insert_id();
    return {};
  });
  RETORT_TRY(std::move(done));
  return log;
}

Result<AttemptLog> AttemptLog::open_read_only(const std::string& path, Env& env) {
  RETORT_ASSIGN(auto db, Database::open(path, {.read_only = true, .busy_timeout_ms = 2000}));
  {
    RETORT_ASSIGN(auto tables, db.prepare("SELECT COUNT(*) FROM sqlite_master WHERE name = 'meta'"));
    RETORT_TRY(tables.step());
    if (tables.integer(0) == 0) return fail(Code::NotFound, "{} is empty: its run died before it began", path);
  }
  RETORT_TRY(check_format(db));
  return AttemptLog(std::move(db), env);
}

Result<std::string> AttemptLog::id() {
  RETORT_ASSIGN(auto query, db_.prepare("SELECT value FROM meta WHERE key = 'id'"));
  RETORT_ASSIGN(const bool found, query.step());
  if (!found) return fail(Code::Corrupt, "{} has no id; it was not written by retort", db_.path());
  return query.text(0);
}

Status AttemptLog::transaction(const char* name, const std::function<Status()>& body) {
  if (on_step) RETORT_TRY(on_step(name));
  RETORT_TRY(db_.transaction(body));
  if (on_step) RETORT_TRY(on_step(name));
  return {};
}

Result<RequestState> AttemptLog::request(const std::string& prompt_id, int sample, const std::string& params_hash) {
  RETORT_ASSIGN(auto all, requests({{prompt_id, sample, params_hash}}));
  return std::move(all.front());
}

Result<std::vector<RequestState>> AttemptLog::requests(const std::vector<Key>& keys) {
  std::vector<RequestState> out;
  out.reserve(keys.size());
  RETORT_ASSIGN(auto insert, db_.prepare("INSERT OR IGNORE INTO requests(prompt_id, sample, params_hash) "
                                         "VALUES(?1, ?2, ?3)"));
  RETORT_ASSIGN(auto query,
                db_.prepare("SELECT id, reject_reason, reject_detail, EXISTS(SELECT 1 FROM responses WHERE request = "
                            "requests.id), (SELECT COUNT(*) FROM attempts WHERE request = requests.id AND state = "
                            "'failed' AND busy = 0), (SELECT COUNT(*) FROM attempts WHERE request = requests.id AND "
                            "busy = 1) FROM requests WHERE prompt_id = ?1 AND sample = ?2 AND params_hash = ?3"));
  Status done = transaction("requests", [&]() -> Status {
    for (const Key& key : keys) {
      RETORT_TRY(insert.run(key.prompt_id, key.sample, key.params_hash));
      RETORT_TRY(query.bind(key.prompt_id, key.sample, key.params_hash));
      RETORT_ASSIGN(const bool found, query.step());
      if (!found) return fail(Code::Internal, "{} lost the request of prompt `{}`", db_.path(), key.prompt_id);
      out.push_back({query.integer(0), query.integer(3) != 0, query.text(1), query.text(2),
                     static_cast<int>(query.integer(4)), static_cast<int>(query.integer(5))});
    }
    // An open read would keep the transaction from ending.
    return query.bind(std::string_view(), 0, std::string_view());
  });
  RETORT_TRY(std::move(done));
  return out;
}

Result<std::vector<int64_t>> AttemptLog::send(const std::vector<Reservation>& reservations) {
  std::vector<int64_t> ids;
  RETORT_ASSIGN(auto insert, db_.prepare("INSERT INTO attempts(request, run, state, reserved_usd_micros, sent_us) "
                                         "VALUES(?1, ?2, 'sent', ?3, ?4)"));
  const int64_t now = now_us();
  Status done = transaction("send", [&]() -> Status {
    for (const Reservation& r : reservations) {
      RETORT_TRY(insert.run(r.request, run_, r.reserved.micros(), now));
      ids.push_back(db_.last_insert_id());
    }
    return {};
  });
  RETORT_TRY(std::move(done));
  return ids;
}

Status AttemptLog::end_one(Statement& update, Statement& store, const Outcome& o) {
  RETORT_TRY(update.run(o.attempt, o.settled ? "settled" : "failed", o.busy ? 1 : 0, o.possibly ? 1 : 0,
                        o.charged.micros(), o.prompt_tokens, o.completion_tokens, o.reasoning_tokens, o.error,
                        now_us()));
  if (!o.settled) return {};
  RETORT_ASSIGN(const std::string packed, pack(o.raw));
  return store.run(o.attempt, Statement::Blob{packed}, o.raw_hash, o.record);
}

Status AttemptLog::end(const std::vector<Outcome>& outcomes) {
  RETORT_ASSIGN(auto update, db_.prepare("UPDATE attempts SET state = ?2, busy = ?3, possibly = ?4, charged_usd_micros "
                                         "= ?5, prompt_tokens = ?6, completion_tokens = ?7, reasoning_tokens = ?8, "
                                         "error = ?9, ended_us = ?10 WHERE id = ?1 AND state = 'sent'"));
  RETORT_ASSIGN(auto store,
                db_.prepare("INSERT INTO responses(request, attempt, raw, raw_hash, record) SELECT request, "
                            "id, ?2, ?3, ?4 FROM attempts WHERE id = ?1"));
  return transaction("end", [&]() -> Status {
    for (const Outcome& outcome : outcomes) RETORT_TRY(end_one(update, store, outcome));
    return {};
  });
}

Status AttemptLog::reject(int64_t request, const std::string& reason, const std::string& detail) {
  RETORT_ASSIGN(auto update, db_.prepare("UPDATE requests SET reject_reason = ?2, reject_detail = ?3 WHERE id = ?1"));
  return transaction("reject", [&]() -> Status { return update.run(request, reason, detail); });
}

Result<std::string> AttemptLog::record(int64_t request) {
  RETORT_ASSIGN(auto query, db_.prepare("SELECT record, raw, raw_hash FROM responses WHERE request = ?1"));
  RETORT_TRY(query.bind(request));
  RETORT_ASSIGN(const bool found, query.step());
  if (!found) return fail(Code::Internal, "{} has no response for request {}", db_.path(), request);
  RETORT_ASSIGN(const std::string raw, unpack(query.text(1)));
  if (sha256(raw) != query.text(2))
    return fail(Code::Corrupt,
                "{}: the stored response of request {} does not match its hash; restore the file from a "
                "copy, or delete it to buy again",
                db_.path(), request);
  return query.text(0);
}

Result<Spend> AttemptLog::spend() {
  RETORT_ASSIGN(const auto runs, summaries());
  Spend out;
  for (const RunSummary& run : runs) {
    out.charged += run.settled.usd_micros + run.failed.usd_micros;
    out.possibly += run.possibly.usd_micros;
    out.reserved += run.in_flight_usd;
  }
  return out;
}

// Summed here and not by SQL, whose SUM() ends a query where it would wrap: a log may hold any counts.
Result<std::vector<RunSummary>> AttemptLog::summaries() {
  std::vector<RunSummary> out;
  RETORT_ASSIGN(auto runs, db_.prepare("SELECT id, started_us FROM runs ORDER BY id"));
  for (;;) {
    RETORT_ASSIGN(const bool more, runs.step());
    if (!more) break;
    RunSummary& run = out.emplace_back();
    run.run = runs.integer(0);
    run.started_us = run.ended_us = runs.integer(1);
    run.resumed = out.size() > 1;
  }
  RETORT_ASSIGN(auto attempts, db_.prepare("SELECT run, state, possibly, prompt_tokens, completion_tokens, "
                                           "charged_usd_micros, reserved_usd_micros, MAX(ended_us, sent_us) FROM "
                                           "attempts ORDER BY run"));
  for (size_t at = 0;;) {
    RETORT_ASSIGN(const bool more, attempts.step());
    if (!more) return out;
    while (at < out.size() && out[at].run < attempts.integer(0)) ++at;
    if (at == out.size() || out[at].run != attempts.integer(0))
      return fail(Code::Corrupt, "{} has an attempt of run {}, which it does not have", db_.path(),
                  attempts.integer(0));
    RunSummary& run = out[at];
    run.ended_us = std::max(run.ended_us, attempts.integer(7));
    const std::string state = attempts.text(1);
    if (state == "sent") {
      ++run.in_flight;
      run.in_flight_usd += attempts.integer(6);
      continue;
    }
    RunSummary::Part& part = attempts.integer(2) != 0 ? run.possibly : state == "settled" ? run.settled : run.failed;
    ++part.attempts;
    part.prompt_tokens = saturating_add(part.prompt_tokens, attempts.integer(3));
    part.completion_tokens = saturating_add(part.completion_tokens, attempts.integer(4));
    part.usd_micros += attempts.integer(5);
  }
}

}  // namespace retort::store
