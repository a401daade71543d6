// Tally: what a stage did with its inputs. Each input id must come out as a parent of a kept record or as a Reject;
// Accounting checks that at the end of every run, not only in tests.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include "base/json.h"
#include "base/result.h"

namespace retort {

struct Tally {
  int64_t in = 0;                          // input records
  int64_t kept = 0;                        // output records
  int64_t dropped = 0;                     // rejected inputs
  int64_t unfinished = 0;                  // what a stage that ended early left for its next run
  std::map<std::string, int64_t> reasons;  // rejects by reason
  std::map<std::string, int64_t> counts;   // anything else a stage counts ("mended_identity", ...)
};

Json encode(const Tally& tally);
Status decode(const Json& json, Tally& out);
// "12 wrong_answer, 3 truncated", or "none".
std::string reasons_text(const Tally& tally);

class Accounting {
 public:
  void in(const std::string& id);
  // `parents`: the inputs that a kept record rests on.
  template <class Ids>
  void kept(const Ids& parents) {
    ++tally_.kept;
    for (const auto& id : parents) mark(id);
  }
  void dropped(const std::string& id, const std::string& reason);
  void unfinished(const std::string& id);
  void count(const std::string& what, int64_t by = 1) { tally_.counts[what] += by; }
  // Internal where an input went missing (naming up to three of them) or an output names an unknown parent.
  Result<Tally> finish();

 private:
  void mark(const std::string& id);
  std::unordered_map<std::string, bool> seen_;  // id -> came out
  std::string unknown_;
  Tally tally_;
};

}  // namespace retort
