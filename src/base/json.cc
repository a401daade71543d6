#include "base/json.h"

#include <vector>

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace retort {
namespace {

// Builds what Json::parse() builds, and counts its values.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(size_t max_values) : values_left_(max_values) {}
  Json root;
  std::string problem;

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // no part of JSON text
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    Frame& frame = open_.back();
    frame.member = &(*frame.value)[name];  // of a name that comes twice the last value counts
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 22: syntax error ...": the library's name and a
    // line that its caller knows better are no news.
    problem = error.what();
    if (const size_t end = problem.find("] parse error"); end != std::string::npos) problem.erase(0, end + 14);
    for (const std::string_view lead : {"at line 1, ", "at "})
      if (problem.starts_with(lead)) problem.erase(0, lead.size());
    return false;
  }

 private:
  struct Frame {
    Json* value;
    Json* member = nullptr;  // where the next value goes
  };

  Json* place(Json value) {
    if (open_.empty()) return &(root = std::move(value));
    Frame& frame = open_.back();
    if (frame.value->is_object()) return &(*frame.member = std::move(value));
    return &frame.value->get_ref<Json::array_t&>().emplace_back(std::move(value));
  }
  // False, and the parse ends, once there are too many values.
  bool count() {
    if (values_left_-- > 0) return true;
    problem = "it holds too many values";
    return false;
  }
  bool put(Json value) {
    if (!count()) return false;
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (!count()) return false;
    open_.push_back({place(std::move(value)), nullptr});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<Frame> open_;
  size_t values_left_;
};

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

Result<Json> parse_json(std::string_view text, size_t max_values) {
  if (too_deep(text)) return fail(Code::Invalid, "JSON nests deeper than {}", kMaxJsonDepth);
  Builder builder(max_values);
  if (!Json::sax_parse(text, &builder)) return fail(Code::Invalid, "not JSON: {}", builder.problem);
  return std::move(builder.root);
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
