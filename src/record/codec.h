// The two halves of a record's JSON form, for this folder's .cc files only: Reader fetches typed members and keeps the
// first error, so a decode() reads as a list of its fields.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "record/trace.h"

namespace retort::record_detail {

class Reader {
 public:
  // `what` names the record in errors ("trace"). `json` must outlive the reader.
  Reader(const Json& json, std::string_view what) : json_(json) {
    if (!json.is_object()) status_ = fail(Code::Invalid, "a {} must be a JSON object, not {}", what, json.type_name());
  }
  // Absent or null: "".
  Reader& text(std::string_view key, std::string& out) { return take(get_string(json_, key, ""), out); }
  // Absent or empty is an error: for ids.
  Reader& need(std::string_view key, std::string& out) {
    take(need_string(json_, key), out);
    if (status_.ok() && out.empty()) status_ = fail(Code::Invalid, "`{}` is empty", key);
    return *this;
  }
  // Absent or null: 0. At most kMaxCount.
  Reader& count(std::string_view key, int64_t& out) {
    take(get_int(json_, key, 0), out);
    if (status_.ok() && (out < 0 || out > kMaxCount))
      status_ = fail(Code::Invalid, "`{}` is {}, no count from 0 to {}", key, out, kMaxCount);
    return *this;
  }
  Reader& number(std::string_view key, int& out) {
    int64_t wide = 0;
    take(get_int(json_, key, 0), wide);
    if (status_.ok() && (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()))
      status_ = fail(Code::Invalid, "`{}` is {}, outside 32 bits", key, wide);
    if (status_.ok()) out = static_cast<int>(wide);
    return *this;
  }
  Reader& flag(std::string_view key, bool& out) { return take(get_bool(json_, key, false), out); }
  // Whatever stands there; null where absent.
  Reader& any(std::string_view key, Json& out) {
    if (!status_.ok()) return *this;
    const Json* value = find(json_, key);
    out = value == nullptr ? Json() : *value;
    return *this;
  }
  // Absent: empty list.
  Reader& texts(std::string_view key, std::vector<std::string>& out) {
    out.clear();
    if (!status_.ok()) return *this;
    const Json* value = find(json_, key);
    if (value == nullptr || value->is_null()) return *this;
    if (value->is_array()) {
      for (const Json& item : *value) {
        if (!item.is_string()) break;
        out.push_back(item.get<std::string>());
      }
    }
    if (!value->is_array() || out.size() != value->size())
      status_ = fail(Code::Invalid, "`{}` must be a list of strings", key);
    return *this;
  }
  // A nested record with a decode() of its own; absent: left as it is.
  template <class T>
  Reader& nested(std::string_view key, T& out) {
    if (!status_.ok()) return *this;
    const Json* value = find(json_, key);
    if (value == nullptr || value->is_null()) return *this;
    if (auto status = decode(*value, out); !status.ok())
      status_ = within(fmt::format("`{}`", key), std::move(status).error());
    return *this;
  }
  Status done() { return std::move(status_); }

 private:
  template <class T>
  Reader& take(Result<T> value, T& out) {
    if (!status_.ok()) return *this;
    if (value.ok())
      out = std::move(value).value();
    else
      status_ = std::move(value).error();
    return *this;
  }

  const Json& json_;
  Status status_;
};

}  // namespace retort::record_detail
