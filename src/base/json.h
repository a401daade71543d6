// JSON values (nlohmann-json, keys kept in insertion order so that files are reproducible byte by byte).
// parse() bounds depth and size because its input comes from outside; typed getters return Errors that name the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/members.h"
#include "base/result.h"

// Made once, in json.cc, not in each file that uses it.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace retort {

using Json = nlohmann::basic_json<Members>;

// Deepest nesting accepted from outside; deeper input is Invalid (stack safety).
inline constexpr int kMaxJsonDepth = 256;

// Parses one JSON document; the whole of `text` must be used. Errors: Invalid, naming the byte offset; more than
// `max_values` values (a value in memory takes up to forty times its text: bound it where a stranger wrote the text).
Result<Json> parse_json(std::string_view text, size_t max_values = SIZE_MAX);

// Compact, UTF-8 kept as is, invalid UTF-8 replaced by U+FFFD; no trailing newline. Doubles print as the shortest text
// that reads back to the same value.
std::string to_text(const Json& value);

// Member `key` of object `object`: the value, or `fallback` where absent or null; Invalid where of another type.
Result<std::string> get_string(const Json& object, std::string_view key, std::string_view fallback);
Result<int64_t> get_int(const Json& object, std::string_view key, int64_t fallback);
Result<double> get_double(const Json& object, std::string_view key, double fallback);
Result<bool> get_bool(const Json& object, std::string_view key, bool fallback);
// The same, but absence is Invalid.
Result<std::string> need_string(const Json& object, std::string_view key);
Result<int64_t> need_int(const Json& object, std::string_view key);

// Member `key` or nullptr. `object` may be any value.
const Json* find(const Json& object, std::string_view key);

}  // namespace retort
