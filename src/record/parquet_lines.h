// Rows of a Parquet file as JSON lines, through the module libretort_parquet.so (src/record/parquet), which is opened
// on first use: Arrow is large, exports thousands of symbols, and most runs never need it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "record/stream.h"

namespace retort {

// Each row of `path` as one JSON object: columns by name; strings, booleans, integers, floating-point numbers, lists
// and structs of them; nulls are left out. NotFound where the module is not installed (the message says where it was
// looked for).
Result<std::unique_ptr<Source<std::string>>> open_parquet_lines(const std::string& path);

}  // namespace retort
