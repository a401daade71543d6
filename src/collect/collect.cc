#include "collect/collect.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/random.h"
#include "collect/pace.h"
#include "collect/plan.h"
#include "ledger/budget.h"

namespace retort::collect {
namespace {

using store::AttemptLog;
using store::Outcome;

// Where a generator's thread leaves what arrived. Shared, so that a late callback finds it alive.
struct Inbox {
  struct Arrival {
    size_t item;
    Result<model::Reply> reply;
  };
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<Arrival> arrivals;

  void put(size_t item, Result<model::Reply> reply) {
    const std::lock_guard lock(mutex);
    arrivals.push_back({item, std::move(reply)});
    arrived.notify_one();
  }
  std::vector<Arrival> take(int64_t wait_us) {
    std::unique_lock lock(mutex);
    if (arrivals.empty() && wait_us > 0)
      arrived.wait_for(lock, std::chrono::microseconds(wait_us), [&] { return !arrivals.empty(); });
    return std::exchange(arrivals, {});
  }
};

bool is_empty(const model::Reply& reply) {
  return reply.choices.empty() || (reply.choices.front().content.empty() && reply.choices.front().reasoning.empty());
}

// What a bill may rest on.
bool is_credible(const Usage& usage, bool empty_answer) {
  for (const int64_t count :
       {usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens, usage.cached_tokens}) {
    if (count < 0 || count > kMaxCount) return false;
  }
  return usage.prompt_tokens > 0 && (usage.completion_tokens > 0 || empty_answer);
}

// How often the loop looks at the cancel token and the clock while it waits.
constexpr int64_t kTickUs = 50'000;

class Collector {
 public:
  Collector(const Options& options, const Place& place, const Permission& permission, const ledger::Price& price,
            const Plan& plan, AttemptLog& log, model::Generator& teacher, Env& env, ledger::Budget budget)
      : options_(options),
        place_(place),
        permission_(permission),
        price_(price),
        plan_(plan),
        log_(log),
        teacher_(teacher),
        env_(env),
        budget_(budget),
        pace_(options.concurrency),
        minute_(options.requests_per_minute, options.tokens_per_minute) {}

  Status load() {
    std::vector<AttemptLog::Key> keys;
    for (const Item& item : plan_.items) keys.push_back({plan_.prompts[item.prompt].id, item.sample, item.params_hash});
    RETORT_ASSIGN(states_, log_.requests(keys));
    live_.resize(states_.size());
    for (size_t i = 0; i < states_.size(); ++i) {
      answered_ = answered_ || states_[i].done;
      if (states_[i].done || !states_[i].reject_reason.empty())
        ++finished_;
      else
        ready_.push_back(i);
    }
    return {};
  }

  // Asks until every item is done or rejected.
  Status ask() {
    Progress progress("collect", static_cast<int64_t>(states_.size()), "answers");
    Status status = loop(progress);
    if (!status.ok() && in_flight_ > 0) drain(status.error().code == Code::Io || status.error().code == Code::Internal);
    if (hopeless_ && !answered_) status = nothing_usable();  // with what arrived meanwhile
    if (status.ok() && !parked_.empty()) status = flush_parked_at_end();
    progress.update(static_cast<int64_t>(finished_), note());
    return status;
  }

  const store::RequestState& state(size_t item) const { return states_[item]; }
  bool answered() const { return answered_; }

 private:
  struct Parked {  // given up before any answer came: the teacher's fault or its own
    size_t item;
    std::string reason, detail;
  };
  struct Live {  // of an item in flight
    int64_t attempt = 0;
    int64_t sent_us = 0;
    int64_t ticket = 0;  // of minute_
  };

  Status loop(Progress& progress) {
    while (finished_ + parked_.size() < states_.size()) {
      if (place_.cancel.requested())
        return fail(Code::Cancelled, "stopped with {} of {} answers stored; run the same command again to go on",
                    finished_, states_.size());
      wake_delayed();
      RETORT_ASSIGN(const bool blocked, send_ready());
      if (blocked && in_flight_ == 0) return over_cap();
      auto arrivals = wait();
      RETORT_TRY(take(std::move(arrivals)));
      progress.update(static_cast<int64_t>(finished_), note());
    }
    return {};
  }

  std::string note() const {
    std::string text = fmt::format("spent {}, {} in flight", format_usd(budget_.spent()), in_flight_);
    if (const int64_t now = env_.monotonic_us(); pace_.pause_until_us() > now)
      text += fmt::format(", waiting {} as the teacher asked",
                          format_duration(static_cast<double>(pace_.pause_until_us() - now) * 1e-6));
    return text;
  }

  Error over_cap() const {
    const UsdMicros next = plan_.items[ready_.front()].reserve;
    return fail(
        Code::Limit,
        "the cap of {} leaves no room: {} is spent or possibly charged, {} is reserved, and the next request "
        "may cost {}. {} of {} answers are stored; raise --cap, or lower --max-tokens, and run the same command "
        "again to go on",
        format_usd(budget_.cap()), format_usd(budget_.spent()), format_usd(budget_.reserved()), format_usd(next),
        finished_, states_.size());
  }

  void wake_delayed() {
    const int64_t now = env_.monotonic_us();
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
      ready_.push_back(delayed_.begin()->second);
      delayed_.erase(delayed_.begin());
    }
  }

  // Reserves, records and sends what the pace and the budget allow. True where the budget holds a request back.
  Result<bool> send_ready() {
    bool blocked = false;
    std::vector<size_t> batch;
    std::vector<AttemptLog::Reservation> reservations;
    const int64_t now = env_.monotonic_us();
    while (!ready_.empty() && pace_.may_send(in_flight_ + static_cast<int>(batch.size()), now)) {
      const size_t i = ready_.front();
      if (!minute_.has_room(now, plan_.items[i].tokens)) break;
      if (!budget_.reserve(plan_.items[i].reserve)) {
        blocked = batch.empty();
        break;
      }
      ready_.pop_front();
      live_[i].ticket = minute_.sent(now, plan_.items[i].tokens);
      batch.push_back(i);
      reservations.push_back({states_[i].id, plan_.items[i].reserve});
    }
    if (batch.empty()) return blocked;
    RETORT_ASSIGN(const auto attempts, log_.send(reservations));
    for (size_t k = 0; k < batch.size(); ++k) {
      const size_t i = batch[k];
      live_[i].attempt = attempts[k];
      live_[i].sent_us = now;
      ++in_flight_;
      model::Request request;
      request.messages = plan_.prompts[plan_.items[i].prompt].messages;
      request.sampling = plan_.items[i].sampling;
      teacher_.submit(std::move(request),
                      {{}, [inbox = inbox_, i](Result<model::Reply> reply) { inbox->put(i, std::move(reply)); }},
                      stop_);
    }
    return false;
  }

  std::vector<Inbox::Arrival> wait() {
    const int64_t now = env_.monotonic_us();
    int64_t wait_us = kTickUs;
    if (!delayed_.empty()) wait_us = std::min(wait_us, delayed_.begin()->first - now);
    if (!ready_.empty() && pace_.pause_until_us() > now) wait_us = std::min(wait_us, pace_.pause_until_us() - now);
    wait_us = std::max<int64_t>(wait_us, 0);
    if (in_flight_ > 0) return inbox_->take(wait_us);
    if (finished_ + parked_.size() < states_.size() && wait_us > 0) env_.sleep_us(wait_us);
    return inbox_->take(0);
  }

  // Stores a batch of arrivals in one transaction, then lets them count.
  Status take(std::vector<Inbox::Arrival> arrivals) {
    if (arrivals.empty()) return {};
    std::vector<Outcome> outcomes;
    for (auto& arrival : arrivals) outcomes.push_back(outcome_of(arrival.item, arrival.reply));
    in_flight_ -= static_cast<int>(arrivals.size());
    RETORT_TRY(log_.end(outcomes));
    Status ended;
    for (size_t k = 0; k < arrivals.size(); ++k) {
      Status status = settle(arrivals[k], outcomes[k]);
      if (ended.ok()) ended = std::move(status);
    }
    return ended;
  }

  // The store takes an answer only as a record that a later run can read.
  Outcome outcome_of(size_t i, Result<model::Reply>& reply) const {
    const Item& item = plan_.items[i];
    Outcome o = collect::outcome_of(live_[i].attempt, reply, item.reserve, price_);
    if (!o.settled) return o;
    auto record = to_line(make_trace(plan_.prompts[item.prompt], item, permission_, *reply, o.raw_hash));
    if (record.ok()) {
      o.record = std::move(*record);
    } else {
      o.settled = false;
      o.error = "the answer cannot be kept: " + record.error().message;
      o.raw.clear();
    }
    return o;
  }

  // What an ended attempt means for its item, the budget and the pace. An Error ends the run.
  Status settle(const Inbox::Arrival& arrival, const Outcome& outcome) {
    const size_t i = arrival.item;
    budget_.settle(plan_.items[i].reserve, outcome.charged);
    minute_.used(live_[i].ticket, !outcome.possibly ? outcome.prompt_tokens + outcome.completion_tokens : INT64_MAX);
    if (outcome.settled) {
      states_[i].done = answered_ = true;
      ++finished_;
      pace_.answered();
      refused_in_a_row_ = 0;
      return flush_parked();
    }
    if (arrival.reply.ok())
      return is_empty(*arrival.reply) ? retry(i, "empty", outcome.error, -1) : give_up(i, "unusable", outcome.error);
    const Error& error = arrival.reply.error();
    switch (error.code) {
      case Code::Unavailable:
        if (!error.maybe_charged) turned_away(i, error);
        if (outcome.busy) {
          if (++states_[i].busy >= options_.max_busy) return give_up(i, "busy", error.message);
          return later(i, states_[i].busy, error.retry_after_ms);
        }
        return retry(i, "failed", error.message, -1);
      case Code::Invalid:
      case Code::NotFound:
        // What may be billed was answered, and would be again.
        if (error.maybe_charged)
          return give_up(i, "unusable", error.message + "; raise `max_answer_bytes`, or ask for fewer tokens");
        parked_.push_back({i, "refused", error.message});
        if (++refused_in_a_row_ >= options_.max_refused)
          return within(fmt::format("the teacher refused {} requests in a row", refused_in_a_row_), error);
        last_refusal_ = error;
        return {};
      case Code::Limit:
      case Code::Cancelled: ready_.push_back(i); return error;
      default: return retry(i, "failed", error.message, -1);
    }
  }

  void turned_away(size_t i, const Error& error) {
    constexpr int64_t kToldMs = 10'000;  // shorter pauses are not worth a line
    const int64_t now = env_.monotonic_us();
    const bool longer =
        error.retry_after_ms >= kToldMs && now + error.retry_after_ms * 1000 - kToldMs * 1000 > told_us_;
    pace_.turned_away(live_[i].sent_us, now, error.retry_after_ms);
    if (!longer) return;
    told_us_ = now + error.retry_after_ms * 1000;
    log::warn("{}; waiting {} as it asks, then asking again", error.message,
              format_duration(static_cast<double>(error.retry_after_ms) * 1e-3));
  }

  Status retry(size_t i, const char* reason, const std::string& detail, int64_t retry_after_ms) {
    if (++states_[i].attempts >= options_.max_attempts) return give_up(i, reason, detail);
    return later(i, states_[i].attempts, retry_after_ms);
  }

  // The sample's own fault where the teacher has answered another; before that the teacher may be away or no teacher at
  // all, and nothing is rejected, so that the next run asks again.
  Status give_up(size_t i, const char* reason, const std::string& detail) {
    if (answered_) return reject(i, reason, detail);
    parked_.push_back({i, reason, detail});
    if (static_cast<int>(parked_.size()) < options_.max_refused) return {};
    hopeless_ = true;
    return nothing_usable();
  }

  // Unavailable, not Invalid: what was asked may be right, and the same command is worth another try.
  Error nothing_usable() const {
    std::map<std::string, std::vector<const Parked*>> by_reason;
    for (const Parked& p : parked_) by_reason[p.reason].push_back(&p);
    std::string counts;
    const std::vector<const Parked*>* most = nullptr;
    for (const auto& [reason, all] : by_reason) {
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", all.size(), reason);
      if (most == nullptr || all.size() > most->size()) most = &all;
    }
    RETORT_CHECK(most != nullptr);
    const Parked& example = *most->front();
    const Item& item = plan_.items[example.item];
    return fail(Code::Unavailable,
                "the teacher at {} gave no usable answer: {} of {} samples were given up ({}), none was answered. "
                "Prompt `{}`, sample {}, {}: {} ({} is booked). See what that address answers, set `endpoint` and "
                "`model` right, and run the same command again: it asks again, at most {} samples before it gives up",
                options_.endpoint, parked_.size(), states_.size(), counts, plan_.prompts[item.prompt].id, item.sample,
                example.reason, example.detail, format_usd(budget_.spent()), options_.max_refused);
  }

  Status later(size_t i, int failures, int64_t retry_after_ms) {
    const int64_t base = static_cast<int64_t>(options_.backoff_ms) << std::min(failures - 1, 20);
    const int64_t bounded = std::min<int64_t>(base, options_.backoff_max_ms);
    // Half fixed, half jitter: retries of a burst spread out.
    Random random(fnv1a(plan_.items[i].params_hash), static_cast<uint64_t>(failures));
    const int64_t pause_ms = std::max<int64_t>(
        bounded / 2 + static_cast<int64_t>(random.below(static_cast<uint64_t>(bounded / 2) + 1)), retry_after_ms);
    delayed_.emplace(env_.monotonic_us() + pause_ms * 1000, i);
    return {};
  }

  Status reject(size_t i, const std::string& reason, const std::string& detail) {
    RETORT_TRY(log_.reject(states_[i].id, reason, detail));
    states_[i].reject_reason = reason;
    states_[i].reject_detail = detail;
    ++finished_;
    return {};
  }

  // Refusals are the prompts' own fault once the teacher has answered another; before that the key or the address may
  // be wrong, and nothing is rejected.
  Status flush_parked() {
    for (const Parked& p : std::exchange(parked_, {})) RETORT_TRY(reject(p.item, p.reason, p.detail));
    return {};
  }
  Status flush_parked_at_end() {
    if (answered_) return flush_parked();
    if (std::all_of(parked_.begin(), parked_.end(), [](const Parked& p) { return p.reason == "refused"; }))
      return within("the teacher refused every request", last_refusal_);
    return nothing_usable();
  }

  // Lets what is under way arrive (it is paid for), then cancels the rest. `lost`: the store is broken, nothing can be
  // kept, so end at once.
  void drain(bool lost) {
    const int64_t until = env_.monotonic_us() + (lost ? 0 : int64_t{1000} * options_.drain_ms);
    while (in_flight_ > 0) {
      if (env_.monotonic_us() >= until) stop_.request();
      auto arrivals = inbox_->take(kTickUs);
      if (lost) {
        in_flight_ -= static_cast<int>(arrivals.size());
      } else {
        (void)take(std::move(arrivals));  // the first error is the one that is reported
      }
    }
  }

  const Options& options_;
  const Place& place_;
  const Permission& permission_;
  const ledger::Price& price_;
  const Plan& plan_;
  AttemptLog& log_;
  model::Generator& teacher_;
  Env& env_;
  ledger::Budget budget_;
  Pace pace_;
  Minute minute_;
  int64_t told_us_ = 0;  // the end of the longest pause that was told
  Cancel stop_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::vector<store::RequestState> states_;  // by item
  std::vector<Live> live_;
  std::deque<size_t> ready_;
  std::multimap<int64_t, size_t> delayed_;  // by when they are due
  std::vector<Parked> parked_;
  bool answered_ = false;  // any item, in this run or before
  bool hopeless_ = false;  // nothing_usable() ended the run
  Error last_refusal_;
  int refused_in_a_row_ = 0;
  int in_flight_ = 0;
  size_t finished_ = 0;
};

// Writes what the store holds, in the order of the plan.
Result<Tally> write_out(const Plan& plan, const Collector& collector, AttemptLog& log, Sink<Trace>& kept,
                        Sink<Reject>& dropped) {
  Accounting accounting;
  for (const Prompt& prompt : plan.prompts) accounting.in(prompt.id);
  for (const Reject& reject : plan.repeated) {
    accounting.in(reject.id);
    RETORT_TRY(dropped.put(reject));
    accounting.dropped(reject.id, reject.reason);
  }
  for (size_t i = 0; i < plan.items.size(); ++i) {
    const Item& item = plan.items[i];
    const std::string& id = plan.prompts[item.prompt].id;
    const store::RequestState& state = collector.state(i);
    const auto drop = [&](const std::string& reason, const std::string& detail) -> Status {
      accounting.dropped(id, reason);
      return dropped.put({id, "collect", reason, fmt::format("sample {}: {}", item.sample, detail)});
    };
    if (!state.done && state.reject_reason.empty()) {
      accounting.unfinished(id);
      continue;
    }
    if (!state.done) {
      RETORT_TRY(drop(state.reject_reason, state.reject_detail));
      continue;
    }
    RETORT_ASSIGN(const std::string record, log.record(state.id));
    const auto trace = from_line<Trace>(record);
    if (!trace.ok()) {  // of an older retort, which took what came
      RETORT_TRY(drop("unusable", "the stored answer cannot be kept: " + trace.error().message));
      continue;
    }
    if (trace->finish_reason == "length") accounting.count("truncated");
    if (trace->reasoning.empty()) accounting.count("without_reasoning");
    RETORT_TRY(kept.put(*trace));
    accounting.kept(std::vector<std::string>{id});
  }
  return accounting.finish();
}

}  // namespace

Outcome outcome_of(int64_t attempt, Result<model::Reply>& reply, UsdMicros reserved, const ledger::Price& price) {
  Outcome o;
  o.attempt = attempt;
  if (!reply.ok()) {
    const Error& error = reply.error();
    o.error = error.message;
    o.busy = error.code == Code::Unavailable && error.retry_after_ms >= 0;
    o.possibly = error.maybe_charged || error.code == Code::Cancelled;
    o.charged = o.possibly ? reserved : 0;
    return o;
  }
  // A teacher that does not say what it used may have charged for all that was asked.
  o.possibly = !is_credible(reply->usage, is_empty(*reply));
  if (o.possibly) reply->usage = {};
  o.prompt_tokens = reply->usage.prompt_tokens;
  o.completion_tokens = reply->usage.completion_tokens;
  o.reasoning_tokens = reply->usage.reasoning_tokens;
  o.charged = o.possibly ? reserved : ledger::charge(price, reply->usage);
  if (is_empty(*reply)) {
    o.error = "the answer is empty: neither content nor reasoning";
    return o;
  }
  o.settled = true;
  o.raw =
      !reply->raw.empty() ? reply->raw : to_text({reply->choices.front().text, reply->choices.front().finish_reason});
  o.raw_hash = sha256(o.raw);
  return o;
}

Result<Tally> run(const Options& options, const Place& place, const Permission& permission, const ledger::Price& price,
                  Source<Prompt>& prompts, Sink<Trace>& kept, Sink<Reject>& dropped, model::Generator& teacher,
                  Env& env) {
  RETORT_TRY(check_permission(permission, options.endpoint, env.wall_us()));
  if (options.cap.empty())
    return fail(Code::Invalid, "`cap` is empty; give the most dollars this collection may spend, such as --cap 5.00");
  auto cap = parse_usd(options.cap);
  if (!cap.ok()) return within("`cap`", std::move(cap).error());
  RETORT_ASSIGN(const Plan plan, make_plan(options, price, prompts));
  RETORT_ASSIGN(auto log, AttemptLog::open(place.store, env));
  log.on_step = place.on_step;
  if (log.unknown_at_open() > 0)
    log::info("{} requests were in flight when the last run ended; they are booked as possibly charged and sent again",
              log.unknown_at_open());
  RETORT_ASSIGN(const store::Spend spend, log.spend());
  Collector collector(options, place, permission, price, plan, log, teacher, env,
                      ledger::Budget(*cap, spend.charged + spend.possibly));
  RETORT_TRY(collector.load());
  if (Status asked = collector.ask(); !asked.ok()) {
    const Code code = asked.error().code;
    const bool broken = code == Code::Io || code == Code::Corrupt || code == Code::Internal;
    if (place.ended == nullptr || broken || !collector.answered()) return std::move(asked).error();
    *place.ended = std::move(asked).error();
  }
  return write_out(plan, collector, log, kept, dropped);
}

Result<std::vector<ledger::CostRow>> cost_rows(AttemptLog& log, const std::string& stage, const std::string& model) {
  RETORT_ASSIGN(const auto runs, log.summaries());
  RETORT_ASSIGN(const std::string id, log.id());
  std::vector<ledger::CostRow> rows;
  for (const store::RunSummary& run : runs) {
    const auto add = [&](const char* state, int64_t requests, int64_t in, int64_t out, UsdMicros usd, double seconds) {
      if (requests == 0 && seconds == 0) return;
      ledger::CostRow row;
      row.stage = stage;
      row.run = fmt::format("{}/{}/{}", stage, id, run.run);
      row.what = model;
      row.state = state;
      row.requests = requests;
      row.tokens_in = in;
      row.tokens_out = out;
      row.seconds = seconds;
      row.usd_micros = usd;
      rows.push_back(row);
    };
    const double seconds = static_cast<double>(std::max<int64_t>(run.ended_us - run.started_us, 0)) * 1e-6;
    add("done", run.settled.attempts, run.settled.prompt_tokens, run.settled.completion_tokens, run.settled.usd_micros,
        seconds);
    add("failed", run.failed.attempts, run.failed.prompt_tokens, run.failed.completion_tokens, run.failed.usd_micros,
        0);
    add("possibly charged", run.possibly.attempts + run.in_flight, run.possibly.prompt_tokens,
        run.possibly.completion_tokens, run.possibly.usd_micros + run.in_flight_usd, 0);
  }
  return rows;
}

}  // namespace retort::collect
