// StepBook: a run's provenance book (`provenance.jsonl`). One entry a finished step, appended after its stamp; an entry
// that a kill kept from being written is made up for by the next run, and one that is there is not written again.
#pragma once

#include <map>
#include <set>
#include <string>

#include "app/recipe.h"
#include "app/stamp.h"
#include "ledger/provenance.h"

namespace retort::app {

inline constexpr const char* kBookName = "provenance.jsonl";

class StepBook {
 public:
  // Creates the book where absent and verifies its chain. Errors: Corrupt, naming the broken line; Io.
  static Result<StepBook> open(const std::string& out, Env& env);
  // To be called for every step in order, run now or up to date. Durable when it returns.
  Status note(const Step& step, const Stamp& stamp, Env& env);

 private:
  explicit StepBook(ledger::ProvenanceBook book) : book_(std::move(book)) {}
  ledger::ProvenanceBook book_;
  std::map<std::string, Json> latest_;                      // step -> its last payload without the facts of its making
  std::map<std::string, std::set<std::string>> permitted_;  // step -> permissions that its output rests on
};

}  // namespace retort::app
