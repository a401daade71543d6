// What `retort inspect` says of where things come from: a run's provenance book, a model's provenance.json.
#pragma once

#include <string>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort::app {

// True for a file whose first line is an entry of a provenance book, or that has such a book's name.
bool is_provenance_book(const std::string& path, Env& env);
// {kind, path, chain ("holds"), entries, head, torn (bytes of a last line that a dying process left)}. Errors: Corrupt,
// naming the first broken line.
Result<Json> inspect_provenance(const std::string& path, Env& env);
std::string provenance_text(const Json& book);
// A model's provenance.json, and that of its base below it, a line a part, `indent` spaces before each.
std::string lineage_text(const Json& provenance, int indent);

}  // namespace retort::app
