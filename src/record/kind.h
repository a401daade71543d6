// Which kind of record a JSON object is, by the members that only it has: for messages and for looking into files.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace retort {

// "prompt", "trace", "example", "score", "reject", or "other".
std::string_view record_kind(const Json& json);

// Invalid where `json` is plainly a record of another kind than `wanted`, or lacks one of the members that `wanted`
// cannot do without. Members beyond these are the decoder's to check.
Status check_kind(const Json& json, std::string_view wanted);

}  // namespace retort
