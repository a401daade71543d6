#include "base/json.h"

namespace retort {
namespace {

// Stops the parse where arrays and objects nest deeper than kMaxJsonDepth, before any recursion can hurt.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

Error wrong_type(std::string_view key, const char* wanted, const Json& got) {
  return fail(Code::Invalid, "`{}` must be {}, not {}", key, wanted, got.type_name());
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  if (too_deep(text)) return fail(Code::Invalid, "JSON nests deeper than {}", kMaxJsonDepth);
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    return fail(Code::Invalid, "not JSON: {}", e.what());
  }
}

std::string to_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

const Json* find(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(std::string(key));
  return it == object.end() ? nullptr : &*it;
}

Result<std::string> get_string(const Json& object, std::string_view key, std::string_view fallback) {
  const Json* v = find(object, key);
  if (v == nullptr || v->is_null()) return std::string(fallback);
  if (!v->is_string()) return wrong_type(key, "a string", *v);
  return v->get<std::string>();
}

Result<int64_t> get_int(const Json& object, std::string_view key, int64_t fallback) {
  const Json* v = find(object, key);
  if (v == nullptr || v->is_null()) return fallback;
  if (!v->is_number_integer()) return wrong_type(key, "an integer", *v);
  if (v->is_number_unsigned() && v->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return fail(Code::Invalid, "`{}` is {}, more than 2^63-1", key, v->get<uint64_t>());
  }
  return v->get<int64_t>();
}

Result<double> get_double(const Json& object, std::string_view key, double fallback) {
  const Json* v = find(object, key);
  if (v == nullptr || v->is_null()) return fallback;
  if (!v->is_number()) return wrong_type(key, "a number", *v);
  return v->get<double>();
}

Result<bool> get_bool(const Json& object, std::string_view key, bool fallback) {
  const Json* v = find(object, key);
  if (v == nullptr || v->is_null()) return fallback;
  if (!v->is_boolean()) return wrong_type(key, "true or false", *v);
  return v->get<bool>();
}

Result<std::string> need_string(const Json& object, std::string_view key) {
  if (find(object, key) == nullptr) return fail(Code::Invalid, "`{}` is missing", key);
  return get_string(object, key, "");
}

Result<int64_t> need_int(const Json& object, std::string_view key) {
  if (find(object, key) == nullptr) return fail(Code::Invalid, "`{}` is missing", key);
  return get_int(object, key, 0);
}

}  // namespace retort
