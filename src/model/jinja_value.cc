#include "model/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <utf8proc.h>

#include "base/text.h"
#include "model/unicode.h"

namespace retort::model::jinja {
namespace {

constexpr int kMaxValueDepth = 400;

// What each value of a conversation and each byte of its texts adds to the limits, and how far they rise. A
// conversation of a million tokens, with tools, takes a tenth of that in the templates of known models
// (chat_template_test.cc).
constexpr int64_t kStepsPerNode = 500, kStepsPerByte = 2, kMaxSteps = 60'000'000;
constexpr int64_t kBytesPerNode = 4096, kBytesPerByte = 16, kMaxBytes = int64_t{1} << 30;
// Steps from one look at Cancel to the next: under a millisecond.
constexpr int64_t kLookEvery = 4096;
// What a value counts as beside its text or items: its own and its memory's bookkeeping.
constexpr size_t kValueBytes = 64;

thread_local Budget* t_budget = nullptr;

int depth_of(const Value& v) {
  if (v.is(Kind::List)) return v.as_list().depth;
  if (v.is(Kind::Dict)) return v.as_dict().depth;
  return 0;
}
void check_depth(int depth) {
  if (depth > kMaxValueDepth) raise_limit("values nest deeper than {}", kMaxValueDepth);
}

void quote(std::string_view s, Text& out) {
  scan(s.size());
  const char mark = s.find('\'') != std::string_view::npos && s.find('"') == std::string_view::npos ? '"' : '\'';
  out += mark;
  for (size_t i = 0; i < s.size();) {
    const CodePoint c = code_point_at(s, i);
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c.value));
    if (c.value == static_cast<uint32_t>(mark) || c.value == '\\') {
      out += '\\';
      out += static_cast<char>(c.value);
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (c.value != ' ' && (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
                                  category == UTF8PROC_CATEGORY_CN || category == UTF8PROC_CATEGORY_CO ||
                                  category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP ||
                                  category == UTF8PROC_CATEGORY_ZS)) {
      out += c.value < 0x100     ? fmt::format("\\x{:02x}", c.value)
             : c.value < 0x10000 ? fmt::format("\\u{:04x}", c.value)
                                 : fmt::format("\\U{:08x}", c.value);
    } else {
      out += s.substr(i, c.length);
    }
    i += c.length;
  }
  out += mark;
}

void json_string(std::string_view s, bool ensure_ascii, Text& out) {
  scan(s.size());
  out += '"';
  for (size_t i = 0; i < s.size();) {
    const CodePoint c = code_point_at(s, i);
    switch (c.value) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default:
        if (c.value < 0x20 || (ensure_ascii && c.value >= 0x7F && c.value < 0x10000 && c.value != 0x7F)) {
          out += fmt::format("\\u{:04x}", c.value);
        } else if (ensure_ascii && c.value >= 0x10000) {
          const uint32_t v = c.value - 0x10000;
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (v >> 10), 0xDC00 + (v & 0x3FF));
        } else {
          out += s.substr(i, c.length);
        }
    }
    i += c.length;
  }
  out += '"';
}

std::string json_float(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d > 0 ? "Infinity" : "-Infinity";
  return float_repr(d);
}

std::string json_key(const Value& key) {
  switch (key.kind()) {
    case Kind::String: return key.as_string();
    case Kind::None: return "null";
    case Kind::Bool: return key.as_int() ? "true" : "false";
    case Kind::Int: return std::to_string(key.as_int());
    case Kind::Float: return json_float(key.as_double());
    default: raise("tojson: a key of type {} is not possible", key.type_name());
  }
}

void write_json(const Value& v, const JsonStyle& style, int level, Text& out) {
  step();
  const auto line = [&](int n) {
    if (style.indent < 0) return;
    out += '\n';
    out.repeat(" ", style.indent * n);
  };
  switch (v.kind()) {
    case Kind::None: out += "null"; return;
    case Kind::Bool: out += v.as_int() ? "true" : "false"; return;
    case Kind::Int: out += std::to_string(v.as_int()); return;
    case Kind::Float: out += json_float(v.as_double()); return;
    case Kind::String: json_string(v.as_string(), style.ensure_ascii, out); return;
    case Kind::List: {
      const ListData& list = v.as_list();
      if (list.kind != ListKind::List && list.kind != ListKind::Tuple) break;
      if (list.items.empty()) {
        out += "[]";
        return;
      }
      out += '[';
      for (size_t i = 0; i < list.items.size(); ++i) {
        if (i > 0) out += style.item_separator;
        line(level + 1);
        write_json(list.items[i], style, level + 1, out);
      }
      line(level);
      out += ']';
      return;
    }
    case Kind::Dict: {
      const auto& all = v.as_dict().items;
      if (all.empty()) {
        out += "{}";
        return;
      }
      step(static_cast<int64_t>(all.size()));
      std::vector<std::pair<Value, Value>> sorted;
      if (style.sort_keys) {
        take(all.size() * 2 * sizeof(Value));
        sorted = all;
        std::stable_sort(sorted.begin(), sorted.end(),
                         [](const auto& a, const auto& b) { return compare(a.first, b.first) < 0; });
      }
      const auto& items = style.sort_keys ? sorted : all;
      out += '{';
      for (size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out += style.item_separator;
        line(level + 1);
        json_string(json_key(items[i].first), style.ensure_ascii, out);
        out += style.key_separator;
        write_json(items[i].second, style, level + 1, out);
      }
      line(level);
      out += '}';
      return;
    }
    default: break;
  }
  raise("tojson: an object of type {} is not JSON serializable", v.type_name());
}

void repr_into(const Value& v, Text& out) {
  step();
  switch (v.kind()) {
    case Kind::Undefined: out += "Undefined"; return;
    case Kind::None: out += "None"; return;
    case Kind::Bool: out += v.as_int() != 0 ? "True" : "False"; return;
    case Kind::Int: out += std::to_string(v.as_int()); return;
    case Kind::Float: out += float_repr(v.as_double()); return;
    case Kind::String:
      if (v.is_markup()) out += "Markup(";
      quote(v.as_string(), out);
      if (v.is_markup()) out += ')';
      return;
    case Kind::List: {
      const ListData& list = v.as_list();
      if (list.kind != ListKind::List && list.kind != ListKind::Tuple)
        raise("a {} cannot be printed; put `|list` behind it", v.type_name());
      const bool tuple = list.kind == ListKind::Tuple;
      out += tuple ? '(' : '[';
      for (size_t i = 0; i < list.items.size(); ++i) {
        if (i > 0) out += ", ";
        repr_into(list.items[i], out);
      }
      if (tuple && list.items.size() == 1) out += ',';
      out += tuple ? ')' : ']';
      return;
    }
    case Kind::Dict: {
      out += '{';
      bool first = true;
      for (const auto& [key, value] : v.as_dict().items) {
        if (!first) out += ", ";
        first = false;
        repr_into(key, out);
        out += ": ";
        repr_into(value, out);
      }
      out += '}';
      return;
    }
    default: raise("a {} cannot be printed", v.type_name());
  }
}

}  // namespace

Budget::Budget(const RenderOptions& options, int64_t input_nodes, int64_t input_bytes)
    : cancel_(options.cancel), outer_(std::exchange(t_budget, this)) {
  const RenderLimits& l = options.limits;
  const auto raised = [](int64_t limit, int64_t more, int64_t most) {
    return std::max(limit, std::min(most, more > INT64_MAX - limit ? INT64_MAX : limit + more));
  };
  // Sizes are of what lies in memory, so the products do not pass 64 bits.
  steps_ = raised(l.steps, input_nodes * kStepsPerNode + input_bytes * kStepsPerByte, kMaxSteps);
  bytes_ = static_cast<size_t>(
      raised(static_cast<int64_t>(l.bytes), input_nodes * kBytesPerNode + input_bytes * kBytesPerByte, kMaxBytes));
  output_bytes_ = l.output_bytes;
  look_ = std::min(kLookEvery, steps_ + 1);
}
Budget::~Budget() { t_budget = outer_; }
Budget* Budget::current() { return t_budget; }

void Budget::look() {
  if (use_.steps > steps_) raise_limit("the template takes more than {} steps", steps_);
  if (cancel_ != nullptr && cancel_->requested()) throw Failure{fail(Code::Cancelled, "the request was cancelled")};
  look_ = std::min(use_.steps + kLookEvery, steps_ + 1);
}
void Budget::too_large() const { raise_limit("the template makes texts and lists of more than {} bytes", bytes_); }
void Budget::too_long() const { raise_limit("the template makes a text of more than {} bytes", output_bytes_); }

void step(int64_t steps) {
  if (t_budget != nullptr) t_budget->step(steps);
}
void scan(size_t bytes) { step(static_cast<int64_t>(bytes / 16)); }
void take(size_t bytes) {
  if (t_budget != nullptr) t_budget->take(bytes);
}

void Text::repeat(std::string_view unit, int64_t times) {
  if (unit.empty() || times <= 0) return;
  if (budget_ != nullptr) {
    size_t whole = 0;
    if (__builtin_mul_overflow(unit.size(), static_cast<size_t>(times), &whole))
      raise_limit("a text of {} repeats", times);
    budget_->text(out_.size() + whole);
    budget_->take(whole);
  }
  for (int64_t i = 0; i < times; ++i) out_ += unit;
}

Value Value::undefined(std::string why) {
  take(kValueBytes + why.size());
  Value v;
  v.data_ = std::make_shared<std::string>(std::move(why));
  return v;
}
Value Value::none() {
  Value v;
  v.kind_ = Kind::None;
  return v;
}
Value Value::boolean(bool b) {
  Value v;
  v.kind_ = Kind::Bool;
  v.int_ = b ? 1 : 0;
  return v;
}
Value Value::integer(int64_t i) {
  Value v;
  v.kind_ = Kind::Int;
  v.int_ = i;
  return v;
}
Value Value::real(double d) {
  Value v;
  v.kind_ = Kind::Float;
  v.real_ = d;
  return v;
}
Value Value::string(std::string s) {
  if (t_budget != nullptr) {
    t_budget->text(s.size());
    t_budget->take(kValueBytes + s.size());
  }
  Value v;
  v.kind_ = Kind::String;
  v.data_ = std::make_shared<std::string>(std::move(s));
  return v;
}
Value Value::markup(std::string s) {
  Value v = string(std::move(s));
  v.int_ = 1;
  return v;
}
Value Value::list(std::vector<Value> items, ListKind kind) {
  take(kValueBytes + items.size() * sizeof(Value));
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  check_depth(depth + 1);
  Value v;
  v.kind_ = Kind::List;
  v.data_ = std::make_shared<ListData>(ListData{std::move(items), kind, depth + 1});
  return v;
}
Value Value::dict(std::vector<std::pair<Value, Value>> items) {
  take(kValueBytes + items.size() * 2 * sizeof(Value));
  int depth = 0;
  for (const auto& item : items) depth = std::max(depth, depth_of(item.second));
  check_depth(depth + 1);
  Value v;
  v.kind_ = Kind::Dict;
  v.data_ = std::make_shared<DictData>(DictData{std::move(items), depth + 1});
  return v;
}
Value Value::name_space(std::shared_ptr<DictData> data) {
  Value v;
  v.kind_ = Kind::Namespace;
  v.data_ = std::move(data);
  return v;
}
Value Value::callable(std::string name, std::function<Value(Interpreter&, Arguments&)> call) {
  take(2 * kValueBytes);
  Value v;
  v.kind_ = Kind::Callable;
  v.data_ = std::make_shared<CallableData>(CallableData{std::move(name), std::move(call)});
  return v;
}

Value Value::from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean: return boolean(json.get<bool>());
    case Json::value_t::number_integer: return integer(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
        raise_limit("the number {} does not fit 64 bits; give it as a string", json.get<uint64_t>());
      return integer(json.get<int64_t>());
    case Json::value_t::number_float: return real(json.get<double>());
    case Json::value_t::string: return string(to_utf8(json.get_ref<const std::string&>()));
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      for (const auto& [key, item] : json.items()) items.emplace_back(string(to_utf8(key)), from_json(item));
      return dict(std::move(items));
    }
    default: return none();
  }
}

std::string html(const Value& value) {
  if (value.is_markup()) return value.as_string();
  const std::string plain = value.text();
  scan(plain.size());
  Text out;
  for (const char c : plain) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out.done();
}

Value marked(const Value& value) {
  step();
  if (value.is(Kind::String)) return Value::markup(value.as_string());
  if (!value.is(Kind::List)) return value;
  std::vector<Value> items;
  for (const Value& item : value.as_list().items) items.push_back(marked(item));
  return Value::list(std::move(items), value.as_list().kind);
}

std::string Value::why_undefined() const { return data_ ? as_string() : "a value is undefined"; }

bool Value::truthy() const {
  switch (kind_) {
    case Kind::Undefined:
    case Kind::None: return false;
    case Kind::Bool:
    case Kind::Int: return int_ != 0;
    case Kind::Float: return real_ != 0;
    case Kind::String: return !as_string().empty();
    case Kind::List: return as_list().kind == ListKind::Generator || !as_list().items.empty();
    case Kind::Dict: return !as_dict().items.empty();
    default: return true;
  }
}

std::string Value::text() const {
  if (kind_ == Kind::Undefined) return "";
  if (kind_ != Kind::String) return repr();
  take(as_string().size());
  return as_string();
}

std::string Value::repr() const {
  Text out;
  repr_into(*this, out);
  return out.done();
}

const char* Value::type_name() const {
  switch (kind_) {
    case Kind::Undefined: return "Undefined";
    case Kind::None: return "NoneType";
    case Kind::Bool: return "bool";
    case Kind::Int: return "int";
    case Kind::Float: return "float";
    case Kind::String: return "str";
    case Kind::Dict: return "dict";
    case Kind::Namespace: return "Namespace";
    case Kind::Callable: return "function";
    case Kind::List: break;
  }
  switch (as_list().kind) {
    case ListKind::List: return "list";
    case ListKind::Tuple: return "tuple";
    case ListKind::Range: return "range";
    case ListKind::View: return "dict view";
    case ListKind::Generator: break;
  }
  return "generator";
}

bool equal(const Value& a, const Value& b) {
  step();
  if (a.is_number() && b.is_number()) {
    return a.is_whole() && b.is_whole() ? a.as_int() == b.as_int() : a.as_double() == b.as_double();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::Undefined:
    case Kind::None: return true;
    case Kind::String:
      if (a.as_string().size() != b.as_string().size()) return false;
      scan(a.as_string().size());
      return a.as_string() == b.as_string();
    case Kind::List: {
      const ListData &x = a.as_list(), &y = b.as_list();
      if (x.kind != y.kind) return false;
      if (x.kind == ListKind::Generator || x.kind == ListKind::View) return a.identity() == b.identity();
      return std::equal(x.items.begin(), x.items.end(), y.items.begin(), y.items.end(), equal);
    }
    case Kind::Dict: {
      const DictData &x = a.as_dict(), &y = b.as_dict();
      if (x.items.size() != y.items.size()) return false;
      for (const auto& [key, value] : x.items) {
        const Value* other = lookup(y, key);
        if (other == nullptr || !equal(value, *other)) return false;
      }
      return true;
    }
    default: return a.identity() == b.identity();
  }
}

int compare(const Value& a, const Value& b) {
  step();
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.is(Kind::Undefined)) raise("{}", a.why_undefined());
  if (b.is(Kind::Undefined)) raise("{}", b.why_undefined());
  if (a.is_number() && b.is_number()) {
    return a.is_whole() && b.is_whole() ? order(a.as_int(), b.as_int()) : order(a.as_double(), b.as_double());
  }
  if (a.is(Kind::String) && b.is(Kind::String)) {
    scan(std::min(a.as_string().size(), b.as_string().size()));
    return order(a.as_string(), b.as_string());
  }
  if (a.is(Kind::List) && b.is(Kind::List) && a.as_list().kind == b.as_list().kind) {
    const auto &x = a.as_list().items, &y = b.as_list().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(x[i], y[i])) return compare(x[i], y[i]);
    }
    return order(x.size(), y.size());
  }
  raise("'{}' and '{}' have no order", a.type_name(), b.type_name());
}

const Value* lookup(const DictData& dict, const Value& key) {
  if (key.is(Kind::String)) return lookup(dict, key.as_string());
  for (const auto& [k, v] : dict.items) {
    if (equal(k, key)) return &v;
  }
  return nullptr;
}

const Value* lookup(const DictData& dict, std::string_view key) {
  step(1 + static_cast<int64_t>(dict.items.size() / 8));
  for (const auto& [k, v] : dict.items) {
    if (!k.is(Kind::String) || k.as_string().size() != key.size()) continue;
    scan(key.size());
    if (k.as_string() == key) return &v;
  }
  return nullptr;
}

bool contains(const Value& haystack, const Value& needle) {
  switch (haystack.kind()) {
    case Kind::String:
      if (!needle.is(Kind::String)) raise("'in <string>' requires string as left operand, not {}", needle.type_name());
      return place_of(haystack.as_string(), needle.as_string()) != std::string::npos;
    case Kind::List: {
      const auto& items = haystack.as_list().items;
      return std::any_of(items.begin(), items.end(), [&](const Value& v) { return equal(v, needle); });
    }
    case Kind::Dict:
      if (needle.is(Kind::Dict) || (needle.is(Kind::List) && needle.as_list().kind == ListKind::List))
        raise("unhashable type: '{}'", needle.type_name());
      return lookup(haystack.as_dict(), needle) != nullptr;
    case Kind::Undefined: return false;
    default: raise("argument of type '{}' is not iterable", haystack.type_name());
  }
}

std::vector<Value> iterate(const Value& value) {
  std::vector<Value> out;
  switch (value.kind()) {
    case Kind::Undefined: return out;
    case Kind::List:
      step(static_cast<int64_t>(value.as_list().items.size()));
      take(value.as_list().items.size() * sizeof(Value));
      return value.as_list().items;
    case Kind::Dict:
      step(static_cast<int64_t>(value.as_dict().items.size()));
      for (const auto& [key, item] : value.as_dict().items) out.push_back(key);
      return out;
    case Kind::String: {
      const std::string& s = value.as_string();
      for (size_t i = 0; i < s.size();) {
        step();
        const uint32_t n = code_point_at(s, i).length;
        out.push_back(Value::string(s.substr(i, n)));
        i += n;
      }
      return out;
    }
    default: raise("'{}' object is not iterable", value.type_name());
  }
}

std::string to_json_text(const Value& value, const JsonStyle& style) {
  Text out;
  write_json(value, style, 0, out);
  return out.done();
}

std::string float_repr(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  if (d == 0) return std::signbit(d) ? "-0.0" : "0.0";
  // fmt's {:e}-free shortest form switches notation elsewhere than Python does, so take digits and place the point.
  std::string digits = fmt::format("{:e}", d);
  for (int precision = 0; precision <= 17; ++precision) {
    digits = fmt::format("{:.{}e}", d, precision);
    if (std::stod(digits) == d) break;
  }
  const size_t e = digits.find('e');
  const int exponent = std::stoi(digits.substr(e + 1));
  std::string mantissa = digits.substr(0, e);
  const bool negative = mantissa[0] == '-';
  if (negative) mantissa.erase(0, 1);
  std::erase(mantissa, '.');
  while (mantissa.size() > 1 && mantissa.back() == '0') mantissa.pop_back();
  std::string out;
  if (exponent < -4 || exponent >= 16) {
    out = mantissa.substr(0, 1);
    if (mantissa.size() > 1) out += "." + mantissa.substr(1);
    out += fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (exponent < 0) {
    out = "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + mantissa;
  } else {
    const size_t whole = static_cast<size_t>(exponent) + 1;
    if (mantissa.size() <= whole)
      out = mantissa + std::string(whole - mantissa.size(), '0') + ".0";
    else
      out = mantissa.substr(0, whole) + "." + mantissa.substr(whole);
  }
  return (negative ? "-" : "") + out;
}

std::string brief(std::string_view text) {
  constexpr size_t kMost = 100;
  return text.size() <= kMost ? std::string(text)
                              : to_utf8(text.substr(0, utf8_complete_prefix(text.substr(0, kMost)))) + "...";
}

std::vector<uint32_t> code_points(std::string_view text) {
  scan(text.size());
  take(4 * text.size());
  std::vector<uint32_t> out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point_at(text, i);
    out.push_back(c.value);
    i += c.length;
  }
  return out;
}

size_t length(std::string_view text) {
  scan(text.size());
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

size_t bytes_of(std::string_view text, int64_t count) {
  size_t bytes = 0;
  for (int64_t i = 0; i < count && bytes < text.size(); ++i) bytes += code_point_at(text, bytes).length;
  scan(bytes);
  return bytes;
}

size_t place_of(std::string_view text, std::string_view what, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const void* const at = ::memmem(text.data() + from, text.size() - from, what.data(), what.size());
  const size_t place =
      at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - text.data());
  // Paid afterwards, for how far it goes is not known before; it is a few milliseconds of the longest text.
  scan(std::min(place, text.size()) - from + 2 * what.size() + 16);
  return place;
}

size_t last_place_of(std::string_view text, std::string_view what) {
  if (what.empty()) return text.size();
  std::string turned(text), key(what);
  take(text.size() + what.size());
  std::reverse(turned.begin(), turned.end());
  std::reverse(key.begin(), key.end());
  const size_t at = place_of(turned, key);
  return at == std::string_view::npos ? at : text.size() - at - what.size();
}

bool is_space(uint32_t c) { return (c >= 0x1C && c <= 0x1F) || (c < 0x110000 && (char_classes()[c] & kSpace) != 0); }

std::vector<std::string> lines_of(std::string_view text, bool keep_ends) {
  scan(text.size());
  take(text.size());
  std::vector<std::string> out;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point_at(text, i);
    const size_t at = i;
    i += c.length;
    const bool ends = (c.value >= 0x0A && c.value <= 0x0D) || (c.value >= 0x1C && c.value <= 0x1E) || c.value == 0x85 ||
                      c.value == 0x2028 || c.value == 0x2029;
    if (!ends) continue;
    step();
    take(kValueBytes);
    if (c.value == '\r' && i < text.size() && text[i] == '\n') ++i;
    out.emplace_back(text.substr(begin, (keep_ends ? i : at) - begin));
    begin = i;
  }
  if (begin < text.size()) out.emplace_back(text.substr(begin));
  return out;
}

std::string strip(std::string_view text, bool left, bool right, const std::string* chars) {
  std::vector<uint32_t> set;
  scan(text.size());
  if (chars != nullptr) {
    set = code_points(*chars);
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
  }
  const auto cut = [&](uint32_t c) {
    return chars == nullptr ? is_space(c) : std::binary_search(set.begin(), set.end(), c);
  };
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const CodePoint c = code_point_at(text, begin);
    if (!cut(c.value)) break;
    begin += c.length;
  }
  while (right && end > begin) {
    size_t i = end - 1;
    while (i > begin && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80) --i;
    if (!cut(code_point_at(text, i).value)) break;
    end = i;
  }
  return std::string(text.substr(begin, end - begin));
}

namespace {
void append_point(Text& out, uint32_t c) {
  std::string bytes;
  append_utf8(bytes, c);
  out += bytes;
}
template <void (*kAppend)(Text&, uint32_t)>
std::string each_point(std::string_view text) {
  scan(4 * text.size());
  Text out;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point_at(text, i);
    i += c.length;
    kAppend(out, c.value);
  }
  return out.done();
}
}  // namespace

void append_upper(Text& out, uint32_t c) {
  if (c == 0xDF)
    out += "SS";
  else
    append_point(out, static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}
void append_lower(Text& out, uint32_t c) {
  append_point(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}
void append_same(Text& out, uint32_t c) { append_point(out, c); }
std::string upper(std::string_view text) { return each_point<append_upper>(text); }
std::string lower(std::string_view text) { return each_point<append_lower>(text); }

}  // namespace retort::model::jinja
