// AttemptLog: what was asked of a paid service, what came back, and what it may have cost, kept so that kill -9 at any
// moment loses neither a response that arrived nor a cent that may have been charged. Each change of state is one
// transaction. States of an attempt:
//   sent     money is reserved and the request is about to leave, or has left
//   settled  a response arrived and is stored; `charged` is its price
//   failed   it ended without a response; `charged` is what it may have cost (0 where the peer answered "no")
//   unknown  a run died while it was sent: the whole reservation is booked as possibly charged
// docs/formats.md specifies the tables.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/money.h"
#include "base/result.h"
#include "store/database.h"

namespace retort::store {

struct RequestState {
  int64_t id = 0;
  bool done = false;          // a response is stored
  std::string reject_reason;  // "" where not rejected
  std::string reject_detail;
  int attempts = 0;  // failed so far, "busy" answers and unknown ones left out
  int busy = 0;      // times the peer said "later"
};

struct Outcome {
  int64_t attempt = 0;
  bool settled = false;
  UsdMicros charged = 0;
  bool possibly = false;  // `charged` is a worst case, not a bill
  bool busy = false;      // the peer said "later" (429 and the like)
  int64_t prompt_tokens = 0, completion_tokens = 0, reasoning_tokens = 0;
  std::string error;  // "" where settled
  // Where settled and kept: the response as received, its SHA-256 and the record made of it.
  std::string raw, raw_hash, record;
};

struct Spend {
  UsdMicros charged = 0;   // billed for sure, by the peer's own usage
  UsdMicros possibly = 0;  // worst case of attempts whose outcome is not known
  UsdMicros reserved = 0;  // of attempts in flight
};

// One run (a process) over the log, summed up.
struct RunSummary {
  int64_t run = 0;
  int64_t started_us = 0;
  int64_t ended_us = 0;  // last change of one of its attempts, by the clock that began at started_us
  bool resumed = false;  // an earlier run had worked on this log
  struct Part {
    int64_t attempts = 0, prompt_tokens = 0, completion_tokens = 0;
    UsdMicros usd_micros = 0;
  };
  Part settled, failed, possibly;  // failed: charged for sure without a usable response; possibly: see Outcome
  int64_t in_flight = 0;           // sent and not ended: of a run that is alive, or was killed and not resumed
  UsdMicros in_flight_usd = 0;
};

class AttemptLog {
 public:
  // Opens or creates the log, starts a run in it, and books attempts that a dead run left in flight as unknown.
  static Result<AttemptLog> open(const std::string& path, Env& env);
  // For reading summaries. NotFound where the log is absent or was never begun; Unavailable while a run holds it.
  static Result<AttemptLog> open_read_only(const std::string& path, Env& env);

  // The request of this sample, made where absent. `params_hash` is of all that decides the answer: another hash is
  // another request, so changed settings never reuse an old answer.
  Result<RequestState> request(const std::string& prompt_id, int sample, const std::string& params_hash);
  // Many at once, in one transaction. `keys` and the result have the same order.
  struct Key {
    std::string prompt_id;
    int sample = 0;
    std::string params_hash;
  };
  Result<std::vector<RequestState>> requests(const std::vector<Key>& keys);

  // Reserves for each request id; returns attempt ids. Durable when this returns: only then may they be sent.
  struct Reservation {
    int64_t request = 0;
    UsdMicros reserved = 0;
  };
  Result<std::vector<int64_t>> send(const std::vector<Reservation>& reservations);
  // Ends attempts. Durable when this returns: only then do responses count.
  Status end(const std::vector<Outcome>& outcomes);
  Status reject(int64_t request, const std::string& reason, const std::string& detail);

  // The stored record of a done request; Corrupt where the response's bytes do not match their hash.
  Result<std::string> record(int64_t request);
  Result<Spend> spend();
  int64_t unknown_at_open() const { return unknown_at_open_; }  // attempts that open() found in flight
  int64_t run() const { return run_; }
  // Drawn when the log was made: names its rows in a cost book, wherever that lies.
  Result<std::string> id();
  Result<std::vector<RunSummary>> summaries();

  // For tests: called before and after each transaction with its name; an Error from it is returned as if the process
  // had died there.
  std::function<Status(const char* step)> on_step;

 private:
  explicit AttemptLog(Database db, Env& env)
      : db_(std::move(db)), env_(&env), since_us_(env.wall_us() - env.monotonic_us()) {}
  // The wall clock as the run began, and from there on the monotonic one: durations hold though somebody sets the
  // clock.
  int64_t now_us() const { return since_us_ + env_->monotonic_us(); }
  Status transaction(const char* name, const std::function<Status()>& body);
  Status end_one(Statement& update, Statement& store, const Outcome& outcome);

  Database db_;
  Env* env_;
  int64_t since_us_;
  int64_t run_ = 0;
  int64_t unknown_at_open_ = 0;
};

}  // namespace retort::store
