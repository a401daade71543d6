// Reject: why an input did not come out of a stage. Failures of single records are data, not Errors.
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"

namespace retort {

struct Reject {
  std::string id;      // the input's id
  std::string stage;   // "collect", "curate", ...
  std::string reason;  // a word for counting: "wrong_answer", "truncated", "loop", "duplicate", "identity", ...
  std::string detail;  // for a reader, short; "" where the reason says all
};

Json encode(const Reject& reject);
Status decode(const Json& json, Reject& out);

}  // namespace retort
