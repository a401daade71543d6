// The card of a model, README.md with a YAML header as model hubs read it: what its provenance record, its own licence
// statement and its scores say, and nothing that no file says.
#pragma once

#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort::app {

struct CardFacts {
  std::string name;
  std::string licence;          // as stated_licence() gives it
  Json provenance;              // the model's provenance.json
  std::vector<Json> summaries;  // summary.json of evaluations, in the order to be shown
};

// Equal facts give equal bytes.
std::string model_card(const CardFacts& facts);

// The licence that the model at `path` (a folder or a GGUF) states for itself: in its card's YAML header or under
// general.license; "" where it states none. Errors: those of reading; a header that is no YAML states none.
Result<std::string> stated_licence(const std::string& path, Env& env);

}  // namespace retort::app
