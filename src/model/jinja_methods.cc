// Methods of str, dict and list that templates may call. What would change an object is refused by name, as in Jinja's
// immutable sandbox.
#include <algorithm>
#include <optional>

#include <utf8proc.h>

#include "base/text.h"
#include "model/jinja_eval.h"
#include "model/unicode.h"

namespace retort::model::jinja {
namespace {

// The parts of a text as they are found; each is paid for.
class Parts {
 public:
  void add(std::string_view part) {
    step();
    items_.push_back(Value::string(std::string(part)));
  }
  size_t size() const { return items_.size(); }
  std::vector<Value> take_items() { return std::move(items_); }
  Value list() { return Value::list(std::move(items_)); }
  Value reversed() {
    std::reverse(items_.begin(), items_.end());
    return list();
  }

 private:
  std::vector<Value> items_;
};

bool full(const Parts& parts, int64_t limit) { return limit >= 0 && static_cast<int64_t>(parts.size()) >= limit; }

// str.split() without a separator.
Value split_words(std::string_view s, int64_t limit) {
  scan(s.size());
  Parts out;
  size_t i = 0;
  const auto space_at = [&](size_t k) { return is_space(code_point_at(s, k).value); };
  for (;;) {
    while (i < s.size() && space_at(i)) i += code_point_at(s, i).length;
    if (i >= s.size()) return out.list();
    if (full(out, limit)) {
      out.add(s.substr(i));
      return out.list();
    }
    const size_t begin = i;
    while (i < s.size() && !space_at(i)) i += code_point_at(s, i).length;
    out.add(s.substr(begin, i - begin));
  }
}

// Where the last run of space, or of what is none, before `end` begins.
size_t run_before(std::string_view s, size_t end, bool space) {
  while (end > 0) {
    size_t i = end - 1;
    while (i > 0 && (static_cast<uint8_t>(s[i]) & 0xC0) == 0x80) --i;
    if (is_space(code_point_at(s, i).value) != space) break;
    end = i;
  }
  return end;
}

// str.rsplit() without a separator.
Value rsplit_words(std::string_view s, int64_t limit) {
  scan(s.size());
  Parts out;
  for (size_t end = run_before(s, s.size(), true); end > 0; end = run_before(s, end, true)) {
    if (full(out, limit)) {
      out.add(s.substr(0, end));
      break;
    }
    const size_t begin = run_before(s, end, false);
    out.add(s.substr(begin, end - begin));
    end = begin;
  }
  return out.reversed();
}

Parts split_at(std::string_view s, std::string_view separator, int64_t limit) {
  if (separator.empty()) raise("empty separator");
  Parts out;
  size_t begin = 0;
  while (!full(out, limit)) {
    const size_t at = place_of(s, separator, begin);
    if (at == std::string_view::npos) break;
    out.add(s.substr(begin, at - begin));
    begin = at + separator.size();
  }
  out.add(s.substr(begin));
  return out;
}

// From the right; the parts come from the last to the first.
Parts rsplit_at(std::string_view s, std::string_view separator, int64_t limit) {
  if (separator.empty()) raise("empty separator");
  take(s.size());
  std::string turned(s), key(separator);
  std::reverse(turned.begin(), turned.end());
  std::reverse(key.begin(), key.end());
  Parts out;
  size_t begin = 0;  // of what is left of `turned`
  while (!full(out, limit)) {
    const size_t at = place_of(turned, key, begin);
    if (at == std::string_view::npos) break;
    out.add(s.substr(s.size() - at, at - begin));
    begin = at + key.size();
  }
  out.add(s.substr(0, s.size() - begin));
  return out;
}

Value split(const std::string& s, Arguments& a, bool from_right) {
  Signature sig(from_right ? "rsplit" : "split", a);
  const Value separator = sig.get("sep", Value::none());
  const int64_t limit = sig.get_int("maxsplit", -1);
  sig.done();
  if (separator.is(Kind::None)) return from_right ? rsplit_words(s, limit) : split_words(s, limit);
  if (!separator.is(Kind::String)) raise("split: the separator must be a string, not {}", separator.type_name());
  return from_right ? rsplit_at(s, separator.as_string(), limit).reversed()
                    : split_at(s, separator.as_string(), limit).list();
}

bool affix(std::string_view s, const Value& what, bool start) {
  step();
  if (what.is(Kind::List) && what.as_list().kind == ListKind::Tuple) {
    const auto& items = what.as_list().items;
    return std::any_of(items.begin(), items.end(), [&](const Value& v) { return affix(s, v, start); });
  }
  if (!what.is(Kind::String)) raise("startswith/endswith needs a string, not {}", what.type_name());
  const std::string& w = what.as_string();
  scan(std::min(w.size(), s.size()));
  return start ? s.starts_with(w) : s.ends_with(w);
}

template <class Predicate>
bool all_of(const std::string& s, Predicate predicate) {
  const auto points = code_points(s);
  return !points.empty() && std::all_of(points.begin(), points.end(), predicate);
}

std::string replaced(std::string_view s, std::string_view from, std::string_view to, int64_t limit) {
  Text out;
  int64_t done = 0;
  size_t i = 0;
  if (from.empty()) {
    for (; i < s.size() && (limit < 0 || done < limit); ++done) {
      step();
      const size_t n = code_point_at(s, i).length;
      out += to;
      out += s.substr(i, n);
      i += n;
    }
    out += s.substr(i);
    if (limit < 0 || done < limit) out += to;
    return out.done();
  }
  while (limit < 0 || done < limit) {
    const size_t at = place_of(s, from, i);
    if (at == std::string_view::npos) break;
    step();
    out += s.substr(i, at - i);
    out += to;
    i = at + from.size();
    ++done;
  }
  out += s.substr(i);
  return out.done();
}

bool changes_lower(uint32_t c) {
  return static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))) != c;
}
bool changes_upper(uint32_t c) {
  return c == 0xDF || static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))) != c;
}

std::string title(std::string_view s) {
  Text out;
  bool start = true;
  for (const uint32_t c : code_points(s)) {
    const bool letter = (char_classes()[c] & kLetter) != 0;
    letter && !start ? append_lower(out, c) : letter ? append_upper(out, c) : append_same(out, c);
    start = !letter;
  }
  return out.done();
}

std::string swapcase(std::string_view s) {
  Text out;
  for (const uint32_t c : code_points(s)) changes_lower(c) ? append_lower(out, c) : append_upper(out, c);
  return out.done();
}

bool is_title(std::string_view s) {
  bool cased = false, any = false;
  for (const uint32_t c : code_points(s)) {
    const bool up = changes_lower(c), low = !up && changes_upper(c);
    if ((up && cased) || (low && !cased)) return false;
    cased = up || low;
    any |= cased;
  }
  return any;
}

// center, ljust and rjust.
std::string padded(const std::string& s, const std::string& name, int64_t width, const std::string& fill) {
  if (length(fill) != 1) raise("{}: the fill character must be exactly one character long", name);
  if (width > (1 << 20)) raise_limit("{}: width {} is more than {}", name, width, 1 << 20);
  const int64_t missing = std::max<int64_t>(width, 0) - static_cast<int64_t>(length(s));
  if (missing <= 0) return s;
  // Python's center puts the odd one to the left where the width is odd.
  const int64_t left = name == "ljust" ? 0 : name == "rjust" ? missing : missing / 2 + (missing & width & 1);
  Text out;
  out.repeat(fill, left);
  out += s;
  out.repeat(fill, missing - left);
  return out.done();
}

std::string expand_tabs(const std::string& s, int64_t size) {
  scan(s.size());
  Text out;
  int64_t column = 0;
  for (const char c : s) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? std::min<int64_t>(size, 1000) - column % std::min<int64_t>(size, 1000) : 0;
      out.repeat(" ", spaces);
      column += spaces;
      continue;
    }
    out += c;
    if ((static_cast<uint8_t>(c) & 0xC0) != 0x80) ++column;
    if (c == '\n' || c == '\r') column = 0;
  }
  return out.done();
}

struct Part {
  size_t begin = 0, end = 0;  // bytes
};
// The part of `s` that the next two arguments, start and end, name as Python's slices do; nothing where start lies
// behind the end.
std::optional<Part> part_of(const std::string& s, Signature& sig) {
  const Value start = sig.get("start", Value::none()), end = sig.get("end", Value::none());
  sig.done();
  if (start.is(Kind::None) && end.is(Kind::None)) return Part{0, s.size()};
  const auto n = static_cast<int64_t>(length(s));
  const auto place = [&](const Value& v, int64_t fallback) {
    if (v.is(Kind::None)) return fallback;
    if (!v.is_whole()) raise("a position must be an integer, not {}", v.type_name());
    return v.as_int() < 0 ? std::max<int64_t>(0, v.as_int() + n) : v.as_int();
  };
  const int64_t from = place(start, 0), to = std::min(place(end, n), n);
  if (from > to) return {};
  const size_t begin = bytes_of(s, from);
  return Part{begin, begin + bytes_of(std::string_view(s).substr(begin), to - from)};
}

std::string capitalized(const std::string& s) {
  if (s.empty()) return s;
  const size_t n = code_point_at(s, 0).length;
  return upper(s.substr(0, n)) + lower(s.substr(n));
}

// "{} {0} {name}".format(...), without format specifications.
std::string format_braces(const std::string& s, const Arguments& a) {
  scan(s.size());
  Text out;
  size_t automatic = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s.compare(i, 2, "{{") == 0 || s.compare(i, 2, "}}") == 0) {
      out += s[i++];
      continue;
    }
    if (s[i] == '}') raise("format: single '}}'");
    if (s[i] != '{') {
      out += s[i];
      continue;
    }
    step(1 + static_cast<int64_t>(a.named.size()));
    const size_t end = s.find('}', i);
    if (end == std::string::npos) raise("format: single '{{'");
    const std::string field = s.substr(i + 1, end - i - 1);
    i = end;
    const auto named = std::find_if(a.named.begin(), a.named.end(), [&](const auto& p) { return p.first == field; });
    if (named != a.named.end()) {
      out += named->second.text();
      continue;
    }
    if (field.find_first_not_of("0123456789") != std::string::npos || field.size() > 6)
      raise("format: the field {{{}}} is not supported", brief(field));
    const size_t index = field.empty() ? automatic++ : static_cast<size_t>(std::stoul(field));
    if (index >= a.positional.size()) raise("format: no argument {}", index);
    out += a.positional[index].text();
  }
  return out.done();
}

// What Markup's methods do to the texts that become part of the result.
void escape_arguments(const std::string& name, Arguments& a) {
  const auto escape = [](Value& v) { v = Value::string(html(v)); };
  if (name == "replace" && a.positional.size() > 1) escape(a.positional[1]);
  if (name == "format") {
    for (Value& v : a.positional) escape(v);
    for (auto& [key, v] : a.named) escape(v);
  }
  if (name == "join" && !a.positional.empty()) {
    std::vector<Value> items = iterate(a.positional[0]);
    for (Value& v : items) escape(v);
    a.positional[0] = Value::list(std::move(items));
  }
}

Value string_method(const std::string& s, const std::string& name, Arguments& a) {
  Signature sig(name.c_str(), a);
  if (name == "split" || name == "rsplit") return split(s, a, name == "rsplit");
  if (name == "format") return Value::string(format_braces(s, a));
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Value chars = sig.get("chars", Value::none());
    sig.done();
    if (!chars.is(Kind::None) && !chars.is(Kind::String)) raise("{}: needs a string", name);
    const std::string* set = chars.is(Kind::String) ? &chars.as_string() : nullptr;
    return Value::string(strip(s, name != "rstrip", name != "lstrip", set));
  }
  if (name == "startswith" || name == "endswith") {
    const Value what = sig.get("prefix");
    const auto part = part_of(s, sig);
    return Value::boolean(
        part && affix(std::string_view(s).substr(part->begin, part->end - part->begin), what, name == "startswith"));
  }
  if (name == "replace") {
    const std::string from = sig.need_string("old"), to = sig.need_string("new");
    return Value::string(replaced(s, from, to, sig.get_int("count", -1)));
  }
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex") {
    const std::string what = sig.need_string("sub");
    const auto part = part_of(s, sig);
    const std::string_view in_part = part ? std::string_view(s).substr(part->begin, part->end - part->begin) : "";
    const size_t at = !part            ? std::string::npos
                      : name[0] == 'r' ? last_place_of(in_part, what)
                                       : place_of(in_part, what);
    if (at == std::string::npos && name.ends_with("index")) raise("substring not found");
    if (at == std::string::npos) return Value::integer(-1);
    return Value::integer(static_cast<int64_t>(length(std::string_view(s).substr(0, part->begin + at))));
  }
  if (name == "count") {
    const std::string what = sig.need_string("sub");
    const auto part = part_of(s, sig);
    if (!part) return Value::integer(0);
    const std::string_view text = std::string_view(s).substr(part->begin, part->end - part->begin);
    if (what.empty()) return Value::integer(static_cast<int64_t>(length(text)) + 1);
    int64_t count = 0;
    for (size_t at = 0; (at = place_of(text, what, at)) != std::string_view::npos; at += what.size()) ++count;
    return Value::integer(count);
  }
  if (name == "center" || name == "ljust" || name == "rjust") {
    const Value width = sig.get("width");
    if (!width.is_whole()) raise("{}: the width must be an integer, not {}", name, width.type_name());
    const std::string fill = sig.get_string("fillchar", " ");
    sig.done();
    return Value::string(padded(s, name, width.as_int(), fill));
  }
  if (name == "expandtabs") {
    const int64_t size = sig.get_int("tabsize", 8);
    sig.done();
    return Value::string(expand_tabs(s, size));
  }
  if (name == "splitlines") {
    const bool keep_ends = sig.get_bool("keepends", false);
    sig.done();
    Parts lines;
    for (const std::string& line : lines_of(s, keep_ends)) lines.add(line);
    return lines.list();
  }
  if (name == "join") {
    Text out;
    bool first = true;
    for (const Value& v : iterate(sig.get("iterable"))) {
      if (!v.is(Kind::String)) raise("join: expected str, {} found", v.type_name());
      if (!first) out += s;
      out += v.as_string();
      first = false;
    }
    return Value::string(out.done());
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const Value what = Value::string(sig.need_string("prefix"));
    if (!affix(s, what, name == "removeprefix")) return Value::string(s);
    const size_t n = what.as_string().size();
    return Value::string(name == "removeprefix" ? s.substr(n) : s.substr(0, s.size() - n));
  }
  if (name == "partition" || name == "rpartition") {
    const std::string separator = sig.need_string("sep");
    const bool right = name == "rpartition";
    std::vector<Value> out = (right ? rsplit_at(s, separator, 1) : split_at(s, separator, 1)).take_items();
    if (right) std::reverse(out.begin(), out.end());
    if (out.size() == 2)
      out.insert(out.begin() + 1, Value::string(separator));
    else
      out = {Value::string(right ? "" : s), Value::string(""), Value::string(right ? s : "")};
    return Value::list(std::move(out), ListKind::Tuple);
  }
  if (name == "zfill") {
    const int64_t width = std::clamp<int64_t>(sig.get_int("width", 0), 0, 1 << 20);
    const int64_t missing = width - static_cast<int64_t>(length(s));
    if (missing <= 0) return Value::string(s);
    const size_t sign = !s.empty() && (s[0] == '-' || s[0] == '+') ? 1 : 0;
    return Value::string(s.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + s.substr(sign));
  }
  sig.done();
  if (name == "upper") return Value::string(upper(s));
  if (name == "lower") return Value::string(lower(s));
  if (name == "title") return Value::string(title(s));
  if (name == "capitalize") return Value::string(capitalized(s));
  if (name == "swapcase") return Value::string(swapcase(s));
  if (name == "istitle") return Value::boolean(is_title(s));
  scan(s.size());
  if (name == "isascii")
    return Value::boolean(std::all_of(s.begin(), s.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; }));
  const uint8_t* classes = char_classes();
  if (name == "isdigit" || name == "isnumeric" || name == "isdecimal")
    return Value::boolean(all_of(s, [&](uint32_t c) { return (classes[c] & kNumber) != 0; }));
  if (name == "isalpha") return Value::boolean(all_of(s, [&](uint32_t c) { return (classes[c] & kLetter) != 0; }));
  if (name == "isalnum")
    return Value::boolean(all_of(s, [&](uint32_t c) { return (classes[c] & (kLetter | kNumber)) != 0; }));
  if (name == "isspace") return Value::boolean(all_of(s, is_space));
  if (name == "isupper") return Value::boolean(upper(s) == s && lower(s) != s);
  return Value::boolean(lower(s) == s && upper(s) != s);  // islower
}

constexpr std::string_view kStringMethods[] = {
    "split",      "rsplit",     "format",  "strip",   "lstrip",     "rstrip",       "startswith",   "endswith",
    "replace",    "find",       "rfind",   "index",   "count",      "join",         "upper",        "lower",
    "title",      "capitalize", "isdigit", "isalpha", "splitlines", "removeprefix", "removesuffix", "partition",
    "rpartition", "zfill",      "isalnum", "isspace", "isupper",    "islower",      "isnumeric",    "isdecimal",
    "rindex",     "center",     "ljust",   "rjust",   "expandtabs", "swapcase",     "istitle",      "isascii"};

Value dict_method(const Value& object, const std::string& name, Arguments& a) {
  const DictData& d = object.as_dict();
  Signature sig(name.c_str(), a);
  if (name == "get") {
    const Value key = sig.get("key");
    const Value fallback = sig.get("default", Value::none());
    sig.done();
    const Value* v = lookup(d, key);
    return v != nullptr ? *v : fallback;
  }
  sig.done();
  if (name == "copy") return object;
  std::vector<Value> out;
  for (const auto& [key, value] : d.items) {
    step();
    if (name == "items")
      out.push_back(Value::list({key, value}, ListKind::Tuple));
    else
      out.push_back(name == "keys" ? key : value);
  }
  return Value::list(std::move(out), ListKind::View);
}

template <size_t N>
bool known(const std::string_view (&names)[N], const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

constexpr std::string_view kDictMethods[] = {"items", "keys", "values", "get", "copy"};
constexpr std::string_view kDictChanges[] = {"pop", "update", "setdefault", "clear", "popitem"};
constexpr std::string_view kListChanges[] = {"append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear"};

}  // namespace

Value method(const Value& object, const std::string& name) {
  if (object.is(Kind::String) && known(kStringMethods, name)) {
    return Value::callable(name, [object, name](Interpreter&, Arguments& a) {
      if (!object.is_markup()) return string_method(object.as_string(), name, a);
      escape_arguments(name, a);
      return marked(string_method(object.as_string(), name, a));
    });
  }
  const auto refused = [&](const char* type) {
    return Value::callable(name, [name, type](Interpreter&, Arguments&) -> Value {
      raise("`{}` of a {} would change it; templates may not", name, type);
    });
  };
  if (object.is(Kind::Dict)) {
    if (known(kDictChanges, name)) return refused("dict");
    if (known(kDictMethods, name))
      return Value::callable(name, [object, name](Interpreter&, Arguments& a) { return dict_method(object, name, a); });
  }
  if (object.is(Kind::List) && object.as_list().kind == ListKind::List && known(kListChanges, name))
    return refused("list");
  if (object.is(Kind::List) && (name == "index" || name == "count")) {
    return Value::callable(name, [object, name](Interpreter&, Arguments& a) {
      Signature sig(name.c_str(), a);
      const Value what = sig.get("value");
      sig.done();
      const auto& items = object.as_list().items;
      if (name == "count")
        return Value::integer(
            std::count_if(items.begin(), items.end(), [&](const Value& v) { return equal(v, what); }));
      const auto it = std::find_if(items.begin(), items.end(), [&](const Value& v) { return equal(v, what); });
      if (it == items.end()) raise("{} is not in the list", brief(what.repr()));
      return Value::integer(it - items.begin());
    });
  }
  return Value();
}

}  // namespace retort::model::jinja
