#include "app/paid_generator.h"

#include <utility>

#include "base/hash.h"
#include "base/log.h"
#include "collect/collect.h"

namespace retort::app {
namespace {

// What a later run needs of an answer.
std::string record_of(const model::Reply& reply) {
  const model::Choice& choice = reply.choices.front();
  return to_text({{"model", reply.model},
                  {"reasoning", choice.reasoning},
                  {"content", choice.content},
                  {"finish_reason", choice.finish_reason},
                  {"usage",
                   {{"prompt_tokens", reply.usage.prompt_tokens},
                    {"completion_tokens", reply.usage.completion_tokens},
                    {"reasoning_tokens", reply.usage.reasoning_tokens}}}});
}

Result<model::Reply> reply_of(const std::string& record) {
  RETORT_ASSIGN(const Json json, parse_json(record));
  model::Reply reply;
  model::Choice choice;
  RETORT_ASSIGN(reply.model, need_string(json, "model"));
  RETORT_ASSIGN(choice.reasoning, need_string(json, "reasoning"));
  RETORT_ASSIGN(choice.content, need_string(json, "content"));
  RETORT_ASSIGN(choice.finish_reason, need_string(json, "finish_reason"));
  reply.choices.push_back(std::move(choice));
  if (const Json* usage = find(json, "usage")) {
    RETORT_ASSIGN(reply.usage.prompt_tokens, get_int(*usage, "prompt_tokens", 0));
    RETORT_ASSIGN(reply.usage.completion_tokens, get_int(*usage, "completion_tokens", 0));
    RETORT_ASSIGN(reply.usage.reasoning_tokens, get_int(*usage, "reasoning_tokens", 0));
  }
  return reply;
}

}  // namespace

Result<std::unique_ptr<PaidGenerator>> PaidGenerator::open(const std::string& store, const ledger::Price& price,
                                                           UsdMicros cap, PaidUse use, model::Generator& inner,
                                                           Env& env) {
  RETORT_ASSIGN(auto log, store::AttemptLog::open(store, env));
  if (log.unknown_at_open() > 0)
    log::info("{} requests were in flight when the last run ended; they are booked as possibly charged and sent again",
              log.unknown_at_open());
  RETORT_ASSIGN(const store::Spend spend, log.spend());
  auto paid = std::unique_ptr<PaidGenerator>(new PaidGenerator(
      std::move(log), price, ledger::Budget(cap, spend.charged + spend.possibly), std::move(use), inner));
  if (paid->use_.repeats) paid->asked_ = fmt::format("{}", env.wall_us());
  return paid;
}

PaidGenerator::~PaidGenerator() {
  for (Waiting& w : waiting_) w.callbacks.on_done(fail(Code::Cancelled, "it was closed before it was asked"));
}

// The answer where it was bought before; else `waiting` gets its place in the log and its reserve.
Result<std::optional<model::Reply>> PaidGenerator::stored(Waiting& waiting) {
  const model::Request& request = waiting.request;
  const model::Sampling& s = request.sampling;
  Json params = {{"model", inner_.name()}, {"whom", use_.whom}, {"temperature", s.temperature}, {"top_p", s.top_p},
                 {"top_k", s.top_k},       {"stop", s.stop},    {"max_tokens", s.max_tokens}};
  if (s.seed) params["seed"] = *s.seed;
  const std::lock_guard lock(mutex_);
  if (!asked_.empty()) params["asked"] = fmt::format("{}/{}", asked_, number_++);
  const std::string hash = sha256(to_text({params, encode(request.messages)}));
  RETORT_ASSIGN(const store::RequestState state, log_.request(hash.substr(0, 16), 0, hash));
  waiting.id = state.id;
  waiting.reserve = collect::worst_cost(price_, request.messages, s.max_tokens);
  if (!state.done) return std::optional<model::Reply>();
  RETORT_ASSIGN(const std::string record, log_.record(state.id));
  RETORT_ASSIGN(model::Reply reply, reply_of(record));
  return std::optional<model::Reply>(std::move(reply));
}

void PaidGenerator::submit(model::Request request, model::Callbacks callbacks, Cancel cancel) {
  Waiting waiting{std::move(request), std::move(callbacks), std::move(cancel)};
  auto known = stored(waiting);
  if (!known.ok()) return courier_.deliver(std::move(waiting.callbacks.on_done), known.error());
  if (*known) return courier_.deliver(std::move(waiting.callbacks.on_done), std::move(**known));
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(waiting));
  }
  send_waiting();
}

void PaidGenerator::send_waiting() {
  for (;;) {
    Waiting next;
    int64_t attempt = 0;
    std::optional<Error> refused;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) return;
      if (waiting_.front().cancel.requested()) {
        refused = fail(Code::Cancelled, "stopped before it was sent");
      } else if (!budget_.reserve(waiting_.front().reserve)) {
        if (in_flight_ > 0) return;
        refused = fail(Code::Limit,
                       "the cap of {} leaves no room: {} is spent or possibly charged, and the next request may cost "
                       "{}; what was answered is stored; raise {} and run the same command again to go on",
                       format_usd(budget_.cap()), format_usd(budget_.spent()), format_usd(waiting_.front().reserve),
                       use_.cap_name);
      }
      next = std::move(waiting_.front());
      waiting_.pop_front();
      if (!refused) {
        auto attempts = log_.send({{next.id, next.reserve}});
        if (attempts.ok()) {
          attempt = attempts->front();
          ++in_flight_;
        } else {
          budget_.settle(next.reserve, 0);
          refused = attempts.error();
        }
      }
    }
    if (refused) {
      courier_.deliver(std::move(next.callbacks.on_done), std::move(*refused));
      continue;
    }
    model::Request request = next.request;
    const Cancel cancel = next.cancel;
    const auto on_delta = next.callbacks.on_delta;
    inner_.submit(std::move(request),
                  {on_delta, [this, attempt, sent = std::move(next)](
                                 Result<model::Reply> reply) { end(sent, attempt, std::move(reply)); }},
                  cancel);
  }
}

void PaidGenerator::end(const Waiting& sent, int64_t attempt, Result<model::Reply> reply) {
  store::Outcome outcome = collect::outcome_of(attempt, reply, sent.reserve, price_);
  if (outcome.settled) outcome.record = record_of(*reply);
  {
    const std::lock_guard lock(mutex_);
    --in_flight_;
    budget_.settle(sent.reserve, outcome.charged);
    if (Status kept = log_.end({outcome}); !kept.ok()) reply = std::move(kept).error();
  }
  send_waiting();
  sent.callbacks.on_done(std::move(reply));  // last: the caller may now end, and this with it
}

Result<std::vector<ledger::CostRow>> PaidGenerator::cost_rows(const std::string& stage) {
  const std::lock_guard lock(mutex_);
  return collect::cost_rows(log_, stage, inner_.name());
}

}  // namespace retort::app
