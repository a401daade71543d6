#include "base/options.h"

#include <charconv>
#include <cmath>
#include <utility>

#include <yaml-cpp/yaml.h>

namespace retort {
namespace options_detail {
namespace {

Error wrong(std::string_view where, const char* wanted, const Json& value) {
  return fail(Code::Invalid, "`{}` must be {}, not {}", where, wanted, to_text(value));
}

template <class Integer>
Status read_integer(Integer& out, const Json& value, std::string_view where) {
  const char* wanted = std::is_unsigned_v<Integer> ? "a whole number, 0 or more" : "a whole number";
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    Integer parsed{};
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (ec != std::errc() || end != text.data() + text.size()) return wrong(where, wanted, value);
    out = parsed;
    return {};
  }
  if (value.is_number_unsigned()) {
    const uint64_t v = value.get<uint64_t>();
    if (!std::in_range<Integer>(v)) return wrong(where, wanted, value);
    out = static_cast<Integer>(v);
    return {};
  }
  if (value.is_number_integer()) {
    const int64_t v = value.get<int64_t>();
    if (!std::in_range<Integer>(v)) return wrong(where, wanted, value);
    out = static_cast<Integer>(v);
    return {};
  }
  return wrong(where, wanted, value);
}

}  // namespace

Status read_leaf(bool& out, const Json& value, std::string_view where) {
  if (value.is_boolean()) {
    out = value.get<bool>();
    return {};
  }
  if (value.is_string() && (value == "true" || value == "false")) {
    out = value == "true";
    return {};
  }
  return wrong(where, "true or false", value);
}
Status read_leaf(int& out, const Json& value, std::string_view where) { return read_integer(out, value, where); }
Status read_leaf(int64_t& out, const Json& value, std::string_view where) { return read_integer(out, value, where); }
Status read_leaf(uint64_t& out, const Json& value, std::string_view where) { return read_integer(out, value, where); }

Status read_leaf(double& out, const Json& value, std::string_view where) {
  if (value.is_number()) {
    out = value.get<double>();
    return {};
  }
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    double parsed = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (ec == std::errc() && end == text.data() + text.size() && std::isfinite(parsed)) {
      out = parsed;
      return {};
    }
  }
  return wrong(where, "a number", value);
}

Status read_leaf(std::optional<double>& out, const Json& value, std::string_view where) {
  if (value.is_null() || value == "unset") {
    out.reset();
    return {};
  }
  double number = 0;
  if (!read_leaf(number, value, where).ok()) return wrong(where, "a number or `unset`", value);
  out = number;
  return {};
}

Status read_leaf(std::string& out, const Json& value, std::string_view where) {
  if (value.is_string())
    out = value.get<std::string>();
  else if (value.is_number() || value.is_boolean())
    out = to_text(value);
  else
    return wrong(where, "text", value);
  return {};
}

Status read_leaf(std::vector<std::string>& out, const Json& value, std::string_view where) {
  std::vector<std::string> items;
  if (value.is_string()) {
    for (const std::string_view part : split(value.get_ref<const std::string&>(), ',')) {
      if (!trim(part).empty()) items.emplace_back(trim(part));
    }
  } else if (value.is_array()) {
    for (const Json& item : value) {
      std::string text;
      RETORT_TRY(read_leaf(text, item, where));
      items.push_back(std::move(text));
    }
  } else {
    return wrong(where, "a list", value);
  }
  out = std::move(items);
  return {};
}

std::vector<std::string> choices(const About& about) {
  std::vector<std::string> words;
  if (about.one_of.empty()) return words;
  for (const std::string_view word : split(about.one_of, ',')) words.emplace_back(trim(word));
  return words;
}

Status check_leaf(const Json& value, const About& about, std::string_view where) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (number >= about.low && number <= about.high && number > about.above) return {};
    const auto text = [](double bound) {
      return std::abs(bound) < 1e15 && bound == std::floor(bound) ? fmt::format("{:.0f}", bound)
                                                                  : fmt::format("{}", bound);
    };
    const std::string from = std::isfinite(about.above) ? "more than " + text(about.above)
                             : std::isfinite(about.low) ? text(about.low)
                                                        : "";
    return fail(Code::Invalid, "`{}` is {}; give {}", where, to_text(value),
                !std::isfinite(about.high)   ? from + (std::isfinite(about.above) ? "" : " or more")
                : from.empty()               ? text(about.high) + " or less"
                : std::isfinite(about.above) ? fmt::format("{}, at most {}", from, text(about.high))
                                             : fmt::format("{} to {}", from, text(about.high)));
  }
  if (about.one_of.empty()) return {};
  const std::vector<std::string> known = choices(about);
  const auto check = [&](const Json& word) -> Status {
    for (const std::string& one : known) {
      if (word == one) return {};
    }
    const std::string hint = nearest(word.get<std::string>(), known);
    return fail(Code::Invalid, "`{}` is {}; give {} of {}", where, to_text(word), value.is_array() ? "some" : "one",
                hint.empty() ? std::string(about.one_of) : fmt::format("{} (`{}`?)", about.one_of, hint));
  };
  if (value.is_string()) return check(value);
  if (value.is_array()) {
    for (const Json& word : value) RETORT_TRY(check(word));
  }
  return {};
}

Status check_keys(const Json& object, const std::vector<std::string>& known, std::string_view where) {
  for (const auto& [key, value] : object.items()) {
    bool found = false;
    for (const std::string& name : known) found = found || name == key;
    if (found) continue;
    const std::string hint = nearest(key, known);
    return fail(Code::Invalid, "unknown option `{}`{}", join(where, key),
                hint.empty() ? std::string("; see --help for the known ones")
                             : fmt::format("; did you mean `{}`?", join(where, hint)));
  }
  return {};
}

}  // namespace options_detail

Status apply_set(Json& into, std::string_view assignment, SetAs as) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(Code::Invalid, "`--set {}` has no `=`; write --set name.part=value", assignment);
  }
  const std::string_view text = assignment.substr(equals + 1);
  Json value = std::string(text);
  if (as == SetAs::Yaml && !text.empty()) {
    auto parsed = parse_yaml(text);
    if (!parsed.ok()) return within(fmt::format("`--set {}`", assignment), std::move(parsed).error());
    value = std::move(*parsed);
  }
  Json* at = &into;
  for (const std::string_view part : split(assignment.substr(0, equals), '.')) {
    if (part.empty()) return fail(Code::Invalid, "`--set {}` has an empty name part", assignment);
    if (at->is_null()) *at = Json::object();
    if (!at->is_object())
      return fail(Code::Invalid, "`--set {}`: `{}` is below a value that is not a map", assignment, part);
    at = &(*at)[std::string(part)];
  }
  *at = std::move(value);
  return {};
}

namespace {

constexpr int kMaxYamlDepth = 64;
// Bounds what aliases expand to: a node counts as kYamlNode bytes and its text, each time that it stands.
constexpr int64_t kMaxYamlBytes = 64 << 20;
constexpr int64_t kYamlNode = 64;

Json plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* begin = text.data() + (text[0] == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  const bool numeric = begin != end && (*begin == '-' || *begin == '.' || (*begin >= '0' && *begin <= '9'));
  if (numeric) {
    int64_t i = 0;
    if (const auto r = std::from_chars(begin, end, i); r.ec == std::errc() && r.ptr == end) return i;
    uint64_t u = 0;
    if (const auto r = std::from_chars(begin, end, u); r.ec == std::errc() && r.ptr == end) return u;
    double d = 0;
    if (const auto r = std::from_chars(begin, end, d); r.ec == std::errc() && r.ptr == end && std::isfinite(d))
      return d;
  }
  return text;
}

Result<Json> convert(const YAML::Node& node, int depth, int64_t& bytes) {
  const auto at = [&] { return fmt::format("line {}, column {}", node.Mark().line + 1, node.Mark().column + 1); };
  if (depth > kMaxYamlDepth) return fail(Code::Invalid, "{}: YAML nests deeper than {}", at(), kMaxYamlDepth);
  const auto take = [&](size_t more) { return (bytes += static_cast<int64_t>(more)) <= kMaxYamlBytes; };
  const auto too_large = [&] {
    return fail(Code::Limit, "{}: YAML of more than {} bytes once its aliases are filled in", at(), kMaxYamlBytes);
  };
  if (!take(kYamlNode + (node.IsScalar() ? node.Scalar().size() : 0))) return too_large();
  switch (node.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null: return Json(nullptr);
    case YAML::NodeType::Scalar: return node.Tag() == "!" ? Json(node.Scalar()) : plain_scalar(node.Scalar());
    case YAML::NodeType::Sequence: {
      Json list = Json::array();
      for (const auto& item : node) {
        RETORT_ASSIGN(Json value, convert(item, depth + 1, bytes));
        list.push_back(std::move(value));
      }
      return list;
    }
    case YAML::NodeType::Map: {
      Json object = Json::object();
      for (const auto& pair : node) {
        if (!pair.first.IsScalar()) return fail(Code::Invalid, "{}: a key must be plain text", at());
        const std::string& key = pair.first.Scalar();
        if (!take(key.size())) return too_large();
        if (object.contains(key))
          return fail(Code::Invalid, "line {}: the key `{}` stands twice", pair.first.Mark().line + 1, key);
        RETORT_ASSIGN(Json value, convert(pair.second, depth + 1, bytes));
        object[key] = std::move(value);
      }
      return object;
    }
  }
  return Json(nullptr);
}

}  // namespace

Result<Json> parse_yaml(std::string_view text) {
  // yaml-cpp takes zero bytes for UTF-16 or UTF-32 and makes of them what is no UTF-8.
  if (!is_utf8(text) || text.find('\0') != std::string_view::npos)
    return fail(Code::Invalid, "not YAML: the text is not UTF-8 or holds a zero byte");
  try {
    int64_t bytes = 0;
    return convert(YAML::Load(std::string(text)), 0, bytes);
  } catch (const YAML::Exception& e) {
    // The library calls a tab in the indentation many things, "end of map not found" among them.
    int line = 0;
    for (const std::string_view one : split(text, '\n')) {
      ++line;
      const size_t tab = one.substr(0, one.find_first_not_of(" \t")).find('\t');
      if (tab != std::string_view::npos)
        return fail(Code::Invalid, "not YAML: line {} has a tab at column {}; indent with spaces", line, tab + 1);
    }
    return fail(Code::Invalid, "not YAML: {}", e.what());
  }
}

}  // namespace retort
