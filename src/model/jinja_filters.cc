// The filters of chat templates, with Jinja's semantics; tojson is transformers' (no HTML escapes, non-ASCII kept).
#include <algorithm>
#include <cmath>
#include <map>

#include "base/text.h"
#include "model/jinja_eval.h"
#include "model/jinja_wrap.h"
#include "model/unicode.h"

namespace retort::model::jinja {
namespace {

using Filter = Value (*)(Interpreter& in, const Value& v, Arguments& a);

// a.b.0 of an item; a number in the path is an index.
Value path(Interpreter& in, const Value& v, const std::string& dotted) {
  scan(dotted.size());
  Value out = v;
  for (const std::string_view part : split(dotted, '.')) {
    const bool digits =
        !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string_view::npos;
    out = in.item(out, digits ? Value::integer(std::stoll(std::string(part))) : Value::string(std::string(part)));
  }
  return out;
}

int64_t length_of(const Value& v) {
  switch (v.kind()) {
    case Kind::Undefined: return 0;
    case Kind::String: return static_cast<int64_t>(length(v.as_string()));
    case Kind::Dict: return static_cast<int64_t>(v.as_dict().items.size());
    case Kind::List:
      if (v.as_list().kind != ListKind::Generator) return static_cast<int64_t>(v.as_list().items.size());
      [[fallthrough]];
    default: raise("object of type '{}' has no length", v.type_name());
  }
}

// What sorting without case compares.
Value fold(const Value& v, bool case_sensitive) {
  return !case_sensitive && v.is(Kind::String) ? Value::string(lower(v.as_string())) : v;
}

Value by_attribute(Interpreter& in, const Value& v, const Value& attribute) {
  if (attribute.is(Kind::None)) return v;
  if (attribute.is_whole()) return in.item(v, attribute);
  return path(in, v, attribute.text());
}

Value tojson(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("tojson", a);
  JsonStyle style;
  style.ensure_ascii = sig.get_bool("ensure_ascii", false);
  const Value indent = sig.get("indent", Value::none());
  const Value separators = sig.get("separators", Value::none());
  style.sort_keys = sig.get_bool("sort_keys", false);
  sig.done();
  if (indent.is_whole()) {
    style.indent = static_cast<int>(std::clamp<int64_t>(indent.as_int(), 0, 64));
    style.item_separator = ",";
  } else if (!indent.is(Kind::None)) {
    raise("tojson: indent must be an integer");
  }
  if (!separators.is(Kind::None)) {
    const auto parts = iterate(separators);
    if (parts.size() != 2) raise("tojson: separators must be a pair");
    style.item_separator = parts[0].text();
    style.key_separator = parts[1].text();
  }
  return Value::string(to_json_text(v, style));
}

Value join(Interpreter& in, const Value& v, Arguments& a) {
  Signature sig("join", a);
  const std::string separator = sig.get("d", Value::string("")).text();
  const Value attribute = sig.get("attribute", Value::none());
  sig.done();
  Text out;
  bool first = true;
  for (const Value& item : iterate(v)) {
    if (!first) out += separator;
    out += by_attribute(in, item, attribute).text();
    first = false;
  }
  return Value::string(out.done());
}

// map, select and reject take anything falsy, None too, as empty.
std::vector<Value> items_unless_falsy(const Value& v) { return v.truthy() ? iterate(v) : std::vector<Value>(); }

Value map(Interpreter& in, const Value& v, Arguments& a) {
  std::vector<Value> out;
  if (a.positional.empty()) {
    Signature sig("map", a);
    const Value attribute = sig.get("attribute");
    const Value fallback = sig.get("default", Value());
    sig.done();
    if (attribute.is(Kind::Undefined)) raise("map needs a filter's name or attribute=");
    for (const Value& item : items_unless_falsy(v)) {
      Value got = by_attribute(in, item, attribute);
      out.push_back(got.is(Kind::Undefined) && !fallback.is(Kind::Undefined) ? fallback : got);
    }
  } else {
    const std::string name = a.positional[0].text();
    if (!in.has_filter(name)) raise("no filter named '{}'", name);
    for (const Value& item : items_unless_falsy(v)) {
      step(static_cast<int64_t>(a.positional.size() + a.named.size()));
      Arguments rest{{a.positional.begin() + 1, a.positional.end()}, a.named};
      out.push_back(in.filter(name, item, rest));
    }
  }
  return Value::list(std::move(out), ListKind::Generator);
}

Value choose(Interpreter& in, const Value& v, Arguments& a, bool with_attribute, bool keep) {
  std::vector<Value> out;
  size_t at = 0;
  Value attribute = Value::none();
  if (with_attribute) {
    if (a.positional.empty()) raise("selectattr and rejectattr need an attribute's name");
    attribute = a.positional[at++];
  }
  const bool has_test = a.positional.size() > at;
  const std::string name = has_test ? a.positional[at++].text() : "";
  if (has_test && !in.has_test(name)) raise("no test named '{}'", name);
  for (const Value& item : items_unless_falsy(v)) {
    const Value subject = by_attribute(in, item, attribute);
    step(static_cast<int64_t>(a.positional.size() + a.named.size()));
    Arguments rest{{a.positional.begin() + static_cast<std::ptrdiff_t>(at), a.positional.end()}, a.named};
    if ((has_test ? in.test(name, subject, rest) : subject.truthy()) == keep) out.push_back(item);
  }
  return Value::list(std::move(out), ListKind::Generator);
}

Value sort(Interpreter& in, const Value& v, Arguments& a) {
  Signature sig("sort", a);
  const bool reverse = sig.get_bool("reverse", false), case_sensitive = sig.get_bool("case_sensitive", false);
  const Value attribute = sig.get("attribute", Value::none());
  sig.done();
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : iterate(v)) {
    std::vector<Value> keys;
    if (attribute.is(Kind::String)) {
      scan(attribute.as_string().size());
      for (const std::string_view part : split(attribute.as_string(), ','))
        keys.push_back(fold(path(in, item, std::string(part)), case_sensitive));
    } else {
      keys.push_back(fold(by_attribute(in, item, attribute), case_sensitive));
    }
    keyed.emplace_back(Value::list(std::move(keys)), item);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& x, const auto& y) {
    return reverse ? compare(y.first, x.first) < 0 : compare(x.first, y.first) < 0;
  });
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return Value::list(std::move(out));
}

Value dictsort(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("dictsort", a);
  const bool case_sensitive = sig.get_bool("case_sensitive", false);
  const std::string by = sig.get_string("by", "key");
  const bool reverse = sig.get_bool("reverse", false);
  sig.done();
  if (!v.is(Kind::Dict)) raise("dictsort needs a mapping, not {}", v.type_name());
  if (by != "key" && by != "value") raise("dictsort: you can only sort by either 'key' or 'value'");
  step(static_cast<int64_t>(v.as_dict().items.size()));
  take(v.as_dict().items.size() * 2 * sizeof(Value));
  auto items = v.as_dict().items;
  const auto key = [&](const auto& p) { return fold(by == "key" ? p.first : p.second, case_sensitive); };
  std::stable_sort(items.begin(), items.end(), [&](const auto& x, const auto& y) {
    return reverse ? compare(key(y), key(x)) < 0 : compare(key(x), key(y)) < 0;
  });
  std::vector<Value> out;
  for (const auto& [k, value] : items) out.push_back(Value::list({k, value}, ListKind::Tuple));
  return Value::list(std::move(out));
}

Value unique(Interpreter& in, const Value& v, Arguments& a) {
  Signature sig("unique", a);
  const bool case_sensitive = sig.get_bool("case_sensitive", false);
  const Value attribute = sig.get("attribute", Value::none());
  sig.done();
  std::vector<Value> seen, out;
  for (const Value& item : iterate(v)) {
    const Value key = fold(by_attribute(in, item, attribute), case_sensitive);
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& s) { return equal(s, key); })) continue;
    seen.push_back(key);
    out.push_back(item);
  }
  return Value::list(std::move(out), ListKind::Generator);
}

Value groupby(Interpreter& in, const Value& v, Arguments& a) {
  Signature sig("groupby", a);
  const Value attribute = sig.get("attribute");
  sig.done();
  Arguments by{{}, {{"attribute", attribute}}};
  std::vector<Value> out, group;
  Value key;
  const auto close = [&] {
    if (!group.empty()) out.push_back(Value::list({key, Value::list(std::move(group))}, ListKind::Tuple));
    group.clear();
  };
  for (const Value& item : iterate(sort(in, v, by))) {
    const Value k = by_attribute(in, item, attribute);
    if (!group.empty() && !equal(fold(k, false), fold(key, false))) close();
    if (group.empty()) key = k;
    group.push_back(item);
  }
  close();
  return Value::list(std::move(out));
}

Value indent(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("indent", a);
  const Value width = sig.get("width", Value::integer(4));
  const bool first = sig.get_bool("first", false), blank = sig.get_bool("blank", false);
  sig.done();
  if (!v.is(Kind::String)) raise("indent: a text is needed, not {}", v.type_name());
  const std::string pad =
      width.is(Kind::String)
          ? width.as_string()
          : std::string(static_cast<size_t>(std::clamp<int64_t>(width.is_whole() ? width.as_int() : 4, 0, 1000)), ' ');
  Text out;
  bool start = true;
  for (const std::string& line : lines_of(v.as_string() + '\n')) {
    if (!start) out += '\n';
    if (start ? first : (blank || !line.empty())) out += v.is_markup() ? html(Value::string(pad)) : pad;
    out += line;
    start = false;
  }
  return v.is_markup() ? Value::markup(out.done()) : Value::string(out.done());
}

Value from_double(double d) {
  if (std::isnan(d)) raise("cannot convert float NaN to integer");
  if (!(std::fabs(d) < 9e18)) raise_limit("int: {} does not fit 64 bits", float_repr(d));
  return Value::integer(static_cast<int64_t>(d));
}

Value to_int(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("int", a);
  const Value fallback = sig.get("default", Value::integer(0));
  const int64_t base = sig.get_int("base", 10);
  sig.done();
  if (v.is_whole()) return Value::integer(v.as_int());
  if (v.is(Kind::Float)) return from_double(v.as_double());
  if (!v.is(Kind::String)) return fallback;
  std::string text = strip(v.as_string(), true, true);
  std::erase(text, '_');
  char* end = nullptr;
  errno = 0;
  if (base < 2 || base > 36) raise("int: base {} is not supported", base);
  const long long n = std::strtoll(text.c_str(), &end, static_cast<int>(base));
  if (!text.empty() && *end == '\0' && errno == 0 && end == text.c_str() + text.size()) return Value::integer(n);
  const double d = std::strtod(text.c_str(), &end);
  if (!text.empty() && end == text.c_str() + text.size() && text.find_first_of("xXpP") == std::string::npos &&
      std::isfinite(d))
    return from_double(d);
  return fallback;
}

Value to_float(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("float", a);
  const Value fallback = sig.get("default", Value::real(0));
  sig.done();
  if (v.is_number()) return Value::real(v.as_double());
  if (!v.is(Kind::String)) return fallback;
  std::string text = strip(v.as_string(), true, true);
  std::erase(text, '_');
  char* end = nullptr;
  const double d = std::strtod(text.c_str(), &end);
  const bool whole =
      !text.empty() && end == text.c_str() + text.size() && text.find_first_of("xX") == std::string::npos;
  return whole ? Value::real(d) : fallback;
}

Value round_to(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("round", a);
  const int64_t precision = std::clamp<int64_t>(sig.get_int("precision", 0), -300, 300);
  const std::string method = sig.get_string("method", "common");
  sig.done();
  if (!v.is_number()) raise("round: a number is needed, not {}", v.type_name());
  const double d = v.as_double();
  if (method == "common") {
    if (v.is_whole() && precision >= 0) return Value::integer(v.as_int());
    if (precision >= 0) return Value::real(std::stod(fmt::format("{:.{}f}", d, precision)));
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    const double r = std::nearbyint(d / unit) * unit;
    return v.is_whole() ? from_double(r) : Value::real(r);
  }
  const double unit = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::real(std::ceil(d * unit) / unit);
  if (method == "floor") return Value::real(std::floor(d * unit) / unit);
  raise("round: method must be common, ceil or floor");
}

// Jinja's title: a new word begins after white space, '-', and opening brackets.
std::string title(const std::string& s) {
  Text out;
  bool start = true;
  for (const uint32_t c : code_points(s)) {
    start ? append_upper(out, c) : append_lower(out, c);
    start = is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != std::string_view::npos);
  }
  return out.done();
}

std::string capitalize(const std::string& s) {
  if (s.empty()) return s;
  const size_t n = code_point_at(s, 0).length;
  return upper(s.substr(0, n)) + lower(s.substr(n));
}

Value extreme(Interpreter& in, const Value& v, Arguments& a, int sign) {
  Signature sig("min/max", a);
  const bool case_sensitive = sig.get_bool("case_sensitive", false);
  const Value attribute = sig.get("attribute", Value::none());
  sig.done();
  Value best = Value::undefined("No aggregated item, sequence was empty.");
  bool first = true;
  for (const Value& item : iterate(v)) {
    const auto key = [&](const Value& x) { return fold(by_attribute(in, x, attribute), case_sensitive); };
    if (first || compare(key(item), key(best)) * sign > 0) best = item;
    first = false;
  }
  return best;
}

Value batch(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("batch", a);
  const int64_t n = sig.get_int("linecount", 1);
  const Value fill = sig.get("fill_with", Value::none());
  sig.done();
  std::vector<Value> out, row;
  for (const Value& item : iterate(v)) {
    if (static_cast<int64_t>(row.size()) == n) {
      out.push_back(Value::list(std::move(row)));
      row.clear();
    }
    row.push_back(item);
  }
  if (!row.empty()) {
    while (!fill.is(Kind::None) && static_cast<int64_t>(row.size()) < std::min<int64_t>(n, 100000)) {
      step();
      row.push_back(fill);
    }
    out.push_back(Value::list(std::move(row)));
  }
  return Value::list(std::move(out), ListKind::Generator);
}

Value slice(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("slice", a);
  const int64_t slices = sig.get_int("slices", 0);
  const Value fill = sig.get("fill_with", Value::none());
  sig.done();
  if (slices == 0) raise("slice: the number of slices is 0 or missing");
  if (slices > 100000) raise_limit("slice: {} slices are more than 100000", slices);
  step(std::max<int64_t>(slices, 0));
  const std::vector<Value> items = iterate(v);
  std::vector<Value> out;
  auto at = items.begin();
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t all = static_cast<int64_t>(items.size()), extra = i < all % slices ? 1 : 0;
    const auto end = at + static_cast<std::ptrdiff_t>(all / slices + extra);
    std::vector<Value> row(at, end);
    at = end;
    if (!fill.is(Kind::None) && extra == 0) row.push_back(fill);
    out.push_back(Value::list(std::move(row)));
  }
  return Value::list(std::move(out), ListKind::Generator);
}

Value center(Interpreter& in, const Value& v, Arguments& a) {
  Signature sig("center", a);
  Arguments width{{Value::integer(sig.get_int("width", 80))}, {}};
  sig.done();
  const Value text = Value::string(v.text());
  return in.call(in.attribute(v.is_markup() ? marked(text) : text, "center"), width);
}

Value truncate(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("truncate", a);
  const int64_t limit = sig.get_int("length", 255);
  const bool kill_words = sig.get_bool("killwords", false);
  const std::string end = sig.get_string("end", "...");
  const Value given = sig.get("leeway", Value::none());
  sig.done();
  const int64_t leeway = given.is_whole() ? given.as_int() : 5;  // Jinja's policy
  const auto ends = static_cast<int64_t>(length(end));
  if (limit < ends) raise("truncate: expected length >= {}, got {}", ends, limit);
  if (leeway < 0) raise("truncate: expected leeway >= 0, got {}", leeway);
  if (limit >= INT64_MAX - leeway || length_of(v) <= limit + leeway) return v;
  if (!v.is(Kind::String)) raise("truncate: a text is needed, not {}", v.type_name());
  const std::string& text = v.as_string();
  std::string out = text.substr(0, bytes_of(text, limit - ends));
  if (const size_t space = out.rfind(' '); !kill_words && space != std::string::npos) out.resize(space);
  const Value made = Value::string(out + (v.is_markup() ? html(Value::string(end)) : end));
  return v.is_markup() ? marked(made) : made;
}

Value wordwrap(Interpreter&, const Value& v, Arguments& a) {
  Signature sig("wordwrap", a);
  const int64_t width = sig.get_int("width", 79);
  const bool break_long = sig.get_bool("break_long_words", true);
  const Value given = sig.get("wrapstring", Value::none());
  const std::string separator = given.is(Kind::None) ? "\n" : given.text();
  const bool break_hyphens = sig.get_bool("break_on_hyphens", true);
  sig.done();
  if (!v.is(Kind::String)) raise("wordwrap: a text is needed, not {}", v.type_name());
  if (width <= 0) raise("wordwrap: width {} must be 1 or more", width);
  Text out;
  bool first = true;
  for (const std::string& line : lines_of(v.as_string())) {
    if (!first) out += separator;
    first = true;
    for (const std::string& row : wrap(line, static_cast<size_t>(width), break_long, break_hyphens)) {
      if (!first) out += separator;
      out += row;
      first = false;
    }
    first = false;
  }
  return Value::string(out.done());
}

// Filters without arguments from text to text.
// `kKeeps`: markup stays markup, as in Jinja's soft_str.
template <std::string (*kFunction)(const std::string&), bool kKeeps>
Value textual(Interpreter&, const Value& v, Arguments& a) {
  Signature("filter", a).done();
  const Value made = Value::string(kFunction(v.text()));
  return kKeeps && v.is_markup() ? marked(made) : made;
}
Value safe(Interpreter&, const Value& v, Arguments& a) {
  Signature("safe", a).done();
  return marked(Value::string(v.text()));
}
Value escape(Interpreter&, const Value& v, Arguments& a) {
  Signature("escape", a).done();
  return marked(Value::string(html(v)));
}
// Escapes markup too.
Value force_escape(Interpreter&, const Value& v, Arguments& a) {
  Signature("forceescape", a).done();
  return marked(Value::string(html(Value::string(v.text()))));
}
std::string upper_of(const std::string& s) { return upper(s); }
std::string lower_of(const std::string& s) { return lower(s); }
std::string same(const std::string& s) { return s; }

const std::map<std::string, Filter>& filters() {
  static const std::map<std::string, Filter> table = {
      {"tojson", tojson},
      {"join", join},
      {"map", map},
      {"sort", sort},
      {"dictsort", dictsort},
      {"unique", unique},
      {"groupby", groupby},
      {"indent", indent},
      {"int", to_int},
      {"float", to_float},
      {"round", round_to},
      {"batch", batch},
      {"slice", slice},
      {"center", center},
      {"truncate", truncate},
      {"wordwrap", wordwrap},
      {"upper", textual<upper_of, true>},
      {"lower", textual<lower_of, true>},
      {"title", textual<title, false>},
      {"capitalize", textual<capitalize, true>},
      {"string", textual<same, true>},
      {"safe", safe},
      {"escape", escape},
      {"e", escape},
      {"forceescape", force_escape},
      {"select", [](Interpreter& in, const Value& v, Arguments& a) { return choose(in, v, a, false, true); }},
      {"reject", [](Interpreter& in, const Value& v, Arguments& a) { return choose(in, v, a, false, false); }},
      {"selectattr", [](Interpreter& in, const Value& v, Arguments& a) { return choose(in, v, a, true, true); }},
      {"rejectattr", [](Interpreter& in, const Value& v, Arguments& a) { return choose(in, v, a, true, false); }},
      {"min", [](Interpreter& in, const Value& v, Arguments& a) { return extreme(in, v, a, -1); }},
      {"max", [](Interpreter& in, const Value& v, Arguments& a) { return extreme(in, v, a, 1); }},
      {"length", [](Interpreter&, const Value& v, Arguments&) { return Value::integer(length_of(v)); }},
      {"count", [](Interpreter&, const Value& v, Arguments&) { return Value::integer(length_of(v)); }},
      {"list", [](Interpreter&, const Value& v, Arguments&) { return Value::list(iterate(v)); }},
      {"trim",
       [](Interpreter&, const Value& v, Arguments& a) {
         Signature sig("trim", a);
         const Value chars = sig.get("chars", Value::none());
         sig.done();
         const Value made =
             Value::string(strip(v.text(), true, true, chars.is(Kind::String) ? &chars.as_string() : nullptr));
         return v.is_markup() ? marked(made) : made;
       }},
      {"default",
       [](Interpreter&, const Value& v, Arguments& a) {
         Signature sig("default", a);
         const Value fallback = sig.get("default_value", Value::string(""));
         const bool falsy = sig.get_bool("boolean", false);
         sig.done();
         return v.is(Kind::Undefined) || (falsy && !v.truthy()) ? fallback : v;
       }},
      {"d", [](Interpreter& in, const Value& v, Arguments& a) { return in.filter("default", v, a); }},
      {"replace",
       [](Interpreter& in, const Value& v, Arguments& a) {
         const Value text = Value::string(v.text());
         for (Value& p : a.positional) {
           if (!p.is_number()) p = Value::string(p.text());
         }
         return in.call(in.attribute(text, "replace"), a);
       }},
      {"first",
       [](Interpreter&, const Value& v, Arguments&) {
         const auto items = iterate(v);
         return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
       }},
      {"last",
       [](Interpreter&, const Value& v, Arguments&) {
         if (v.is(Kind::List) && v.as_list().kind == ListKind::Generator) raise("'generator' object is not reversible");
         const auto items = iterate(v);
         return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
       }},
      {"reverse",
       [](Interpreter&, const Value& v, Arguments&) {
         auto items = iterate(v);
         std::reverse(items.begin(), items.end());
         if (!v.is(Kind::String)) return Value::list(std::move(items), ListKind::Generator);
         Text out;
         for (const Value& c : items) out += c.as_string();
         return v.is_markup() ? Value::markup(out.done()) : Value::string(out.done());
       }},
      {"items",
       [](Interpreter& in, const Value& v, Arguments&) {
         if (v.is(Kind::Undefined)) return Value::list({}, ListKind::Generator);
         if (!v.is(Kind::Dict)) raise("Can only get item pairs from a mapping.");
         Arguments none;
         return Value::list(iterate(in.call(in.attribute(v, "items"), none)), ListKind::Generator);
       }},
      {"abs",
       [](Interpreter&, const Value& v, Arguments&) {
         if (!v.is_number()) raise("abs: a number is needed, not {}", v.type_name());
         if (v.is(Kind::Float)) return Value::real(std::fabs(v.as_double()));
         if (v.as_int() == INT64_MIN) raise_limit("integer beyond 64 bits");
         return Value::integer(std::abs(v.as_int()));
       }},
      {"sum",
       [](Interpreter& in, const Value& v, Arguments& a) {
         Signature sig("sum", a);
         const Value attribute = sig.get("attribute", Value::none());
         Value total = sig.get("start", Value::integer(0));
         sig.done();
         for (const Value& item : iterate(v))
           total = arithmetic(Expr::Op::Add, total, by_attribute(in, item, attribute));
         return total;
       }},
      {"attr",
       [](Interpreter&, const Value& v, Arguments& a) {
         Signature sig("attr", a);
         const std::string name = sig.need_string("name");
         sig.done();
         return method(v, name);
       }},
      {"format",
       [](Interpreter&, const Value& v, Arguments& a) {
         return arithmetic(Expr::Op::Modulo, v.is(Kind::String) ? v : Value::string(v.text()),
                           Value::list(a.positional, ListKind::Tuple));
       }},
      {"wordcount",
       [](Interpreter& in, const Value& v, Arguments&) {
         Arguments none;
         return Value::integer(length_of(in.call(in.attribute(Value::string(v.text()), "split"), none)));
       }},
  };
  return table;
}

}  // namespace

bool Interpreter::has_filter(const std::string& name) const { return filters().count(name) != 0; }

Value Interpreter::filter(const std::string& name, const Value& input, Arguments& a) {
  step();
  const auto it = filters().find(name);
  if (it == filters().end()) raise("no filter named '{}'", name);
  return it->second(*this, input, a);
}

}  // namespace retort::model::jinja
