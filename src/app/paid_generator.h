// PaidGenerator: a generator that costs money, within a cap and on the books, by the collector's means: each request is
// reserved at its worst case and recorded before it is sent, each answer is stored before it counts, and one that is
// stored is not bought again. For callers that ask each question once (grading); it retries nothing itself.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ledger/budget.h"
#include "ledger/cost_book.h"
#include "ledger/price.h"
#include "model/courier.h"
#include "model/generator.h"
#include "store/attempt_log.h"

namespace retort::app {

struct PaidUse {
  std::string cap_name;  // the option to raise where the cap is passed
  std::string whom;      // tells answerers with equal model names apart
  bool repeats = false;  // equal questions are asked anew each time (a conversation), not answered from the store
};

class PaidGenerator final : public model::Generator {
 public:
  // `store` is the attempt log (made where absent); what it holds counts against `cap`. `inner` must outlive this, and
  // end with it: no request may be under way in it when this is destroyed. Errors: those of AttemptLog::open.
  static Result<std::unique_ptr<PaidGenerator>> open(const std::string& store, const ledger::Price& price,
                                                     UsdMicros cap, PaidUse use, model::Generator& inner, Env& env);
  ~PaidGenerator() override;

  // Only `messages` are asked. A request for which the cap has no room waits for those in flight to be billed; with
  // none in flight it ends with Limit. Errors of the store end a request, too.
  void submit(model::Request request, model::Callbacks callbacks, Cancel cancel) override;
  std::string name() const override { return inner_.name(); }
  // What all runs over the store have spent, failed tries and those of unknown outcome included. Thread-safe.
  Result<std::vector<ledger::CostRow>> cost_rows(const std::string& stage);

 private:
  struct Waiting {
    model::Request request;
    model::Callbacks callbacks;
    Cancel cancel;
    int64_t id = 0;  // in the log
    UsdMicros reserve = 0;
  };
  PaidGenerator(store::AttemptLog log, const ledger::Price& price, ledger::Budget budget, PaidUse use,
                model::Generator& inner)
      : inner_(inner), price_(price), use_(std::move(use)), log_(std::move(log)), budget_(budget) {}

  Result<std::optional<model::Reply>> stored(Waiting& waiting);
  void send_waiting();
  void end(const Waiting& sent, int64_t attempt, Result<model::Reply> reply);

  model::Generator& inner_;
  const ledger::Price price_;
  const PaidUse use_;
  std::mutex mutex_;  // of what follows; not held while a callback or `inner_` runs
  store::AttemptLog log_;
  ledger::Budget budget_;
  std::deque<Waiting> waiting_;
  int in_flight_ = 0;
  std::string asked_;       // not empty where questions repeat: what tells this run's from others'
  int64_t number_ = 0;      // of the next question, then
  model::Courier courier_;  // last: what it delivers may look at the rest
};

}  // namespace retort::app
