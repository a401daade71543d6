// Methods of str, dict and list that templates may call. What would change an object is refused by name, as in Jinja's
// immutable sandbox.
#include <algorithm>
#include <optional>

#include "base/text.h"
#include "model/jinja_eval.h"
#include "model/unicode.h"

namespace retort::model::jinja {
namespace {

Value strings(const std::vector<std::string>& parts) {
  std::vector<Value> out;
  for (const std::string& p : parts) out.push_back(Value::string(p));
  return Value::list(std::move(out));
}

std::vector<std::string> split_words(const std::string& s, int64_t limit) {
  std::vector<std::string> out;
  size_t i = 0;
  const auto space_at = [&](size_t k) { return is_space(code_point_at(s, k).value); };
  for (;;) {
    while (i < s.size() && space_at(i)) i += code_point_at(s, i).length;
    if (i >= s.size()) return out;
    if (limit >= 0 && static_cast<int64_t>(out.size()) == limit) {
      out.push_back(s.substr(i));
      return out;
    }
    const size_t begin = i;
    while (i < s.size() && !space_at(i)) i += code_point_at(s, i).length;
    out.push_back(s.substr(begin, i - begin));
  }
}

std::vector<std::string> split_at(const std::string& s, const std::string& separator, int64_t limit, bool from_right) {
  if (separator.empty()) raise("empty separator");
  std::vector<std::string> out;
  if (from_right) {
    std::string rest = s;
    while (limit < 0 || static_cast<int64_t>(out.size()) < limit) {
      const size_t at = rest.rfind(separator);
      if (at == std::string::npos) break;
      out.push_back(rest.substr(at + separator.size()));
      rest.resize(at);
    }
    out.push_back(rest);
    std::reverse(out.begin(), out.end());
    return out;
  }
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(out.size()) < limit) {
    const size_t at = s.find(separator, begin);
    if (at == std::string::npos) break;
    out.push_back(s.substr(begin, at - begin));
    begin = at + separator.size();
  }
  out.push_back(s.substr(begin));
  return out;
}

Value split(const std::string& s, Arguments& a, bool from_right) {
  Signature sig(from_right ? "rsplit" : "split", a);
  const Value separator = sig.get("sep", Value::none());
  const int64_t limit = sig.get_int("maxsplit", -1);
  sig.done();
  if (separator.is(Kind::None)) {
    if (from_right && limit >= 0) {
      const std::vector<std::string> words = split_words(s, -1);
      const auto kept = std::min(words.size(), static_cast<size_t>(limit));
      // What is left of the last `kept` words is one, as it stands.
      std::string rest = strip(s, false, true);
      for (size_t i = 0; i < kept; ++i) {
        rest.resize(rest.size() - words[words.size() - 1 - i].size());
        rest = strip(rest, false, true);
      }
      std::vector<std::string> out(words.end() - static_cast<std::ptrdiff_t>(kept), words.end());
      if (!rest.empty()) out.insert(out.begin(), rest);
      return strings(out);
    }
    return strings(split_words(s, limit));
  }
  if (!separator.is(Kind::String)) raise("split: the separator must be a string, not {}", separator.type_name());
  return strings(split_at(s, separator.as_string(), limit, from_right));
}

bool affix(const std::string& s, const Value& what, bool start) {
  if (what.is(Kind::List) && what.as_list().kind == ListKind::Tuple) {
    const auto& items = what.as_list().items;
    return std::any_of(items.begin(), items.end(), [&](const Value& v) { return affix(s, v, start); });
  }
  if (!what.is(Kind::String)) raise("startswith/endswith needs a string, not {}", what.type_name());
  const std::string& w = what.as_string();
  return start ? s.rfind(w, 0) == 0 : s.size() >= w.size() && s.compare(s.size() - w.size(), w.size(), w) == 0;
}

template <class Predicate>
bool all_of(const std::string& s, Predicate predicate) {
  const auto points = code_points(s);
  return !points.empty() && std::all_of(points.begin(), points.end(), predicate);
}

std::string replaced(const std::string& s, const std::string& from, const std::string& to, int64_t limit) {
  std::string out;
  int64_t done = 0;
  size_t i = 0;
  if (from.empty()) {
    for (; i < s.size() && (limit < 0 || done < limit); ++done) {
      const size_t n = code_point_at(s, i).length;
      out += to + s.substr(i, n);
      i += n;
    }
    return out + s.substr(i) + (limit < 0 || done < limit ? to : "");
  }
  while (limit < 0 || done < limit) {
    const size_t at = s.find(from, i);
    if (at == std::string::npos) break;
    out += s.substr(i, at - i) + to;
    i = at + from.size();
    ++done;
    if (out.size() > (size_t{1} << 30)) raise_limit("replace makes a text of over a gigabyte");
  }
  return out + s.substr(i);
}

std::string title(const std::string& s) {
  std::string out;
  bool start = true;
  for (const Value& v : iterate(Value::string(s))) {
    const std::string& c = v.as_string();
    const bool letter = (char_classes()[code_point_at(c, 0).value] & kLetter) != 0;
    out += !letter ? c : start ? upper(c) : lower(c);
    start = !letter;
  }
  return out;
}

std::string swapcase(const std::string& s) {
  std::string out;
  for (const Value& v : iterate(Value::string(s))) {
    const std::string& c = v.as_string();
    out += lower(c) != c ? lower(c) : upper(c);
  }
  return out;
}

bool is_title(const std::string& s) {
  bool cased = false, any = false;
  for (const Value& v : iterate(Value::string(s))) {
    const std::string& c = v.as_string();
    const bool up = lower(c) != c, low = !up && upper(c) != c;
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
  const int64_t missing = width - static_cast<int64_t>(length(s));
  if (missing <= 0) return s;
  // Python's center puts the odd one to the left where the width is odd.
  const int64_t left = name == "ljust" ? 0 : name == "rjust" ? missing : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += s;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

std::string expand_tabs(const std::string& s, int64_t size) {
  std::string out;
  int64_t column = 0;
  for (const char c : s) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? std::min<int64_t>(size, 1000) - column % std::min<int64_t>(size, 1000) : 0;
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
      continue;
    }
    out += c;
    if ((static_cast<uint8_t>(c) & 0xC0) != 0x80) ++column;
    if (c == '\n' || c == '\r') column = 0;
  }
  return out;
}

struct Part {
  size_t begin = 0, end = 0;  // bytes
};
// The part of `s` that the next two arguments, start and end, name as Python's slices do; nothing where start lies
// behind the end.
std::optional<Part> part_of(const std::string& s, Signature& sig) {
  const Value start = sig.get("start", Value::none()), end = sig.get("end", Value::none());
  sig.done();
  const auto n = static_cast<int64_t>(length(s));
  const auto place = [&](const Value& v, int64_t fallback) {
    if (v.is(Kind::None)) return fallback;
    if (!v.is_whole()) raise("a position must be an integer, not {}", v.type_name());
    return v.as_int() < 0 ? std::max<int64_t>(0, v.as_int() + n) : v.as_int();
  };
  const int64_t from = place(start, 0), to = std::min(place(end, n), n);
  if (from > to) return {};
  Part part;
  for (int64_t i = 0; i < to; ++i) {
    if (i == from) part.begin = part.end;
    part.end += code_point_at(s, part.end).length;
  }
  if (from == to) part.begin = part.end;
  return part;
}

std::string capitalized(const std::string& s) {
  if (s.empty()) return s;
  const size_t n = code_point_at(s, 0).length;
  return upper(s.substr(0, n)) + lower(s.substr(n));
}

// "{} {0} {name}".format(...), without format specifications.
std::string format_braces(const std::string& s, const Arguments& a) {
  std::string out;
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
      raise("format: the field {{{}}} is not supported", field);
    const size_t index = field.empty() ? automatic++ : static_cast<size_t>(std::stoul(field));
    if (index >= a.positional.size()) raise("format: no argument {}", index);
    out += a.positional[index].text();
  }
  return out;
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

Value string_method(Interpreter& in, const std::string& s, const std::string& name, Arguments& a) {
  Signature sig(name.c_str(), a);
  if (name == "split" || name == "rsplit") return split(s, a, name == "rsplit");
  if (name == "format") return in.made(format_braces(s, a));
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Value chars = sig.get("chars", Value::none());
    sig.done();
    if (!chars.is(Kind::None) && !chars.is(Kind::String)) raise("{}: needs a string", name);
    const std::string* set = chars.is(Kind::String) ? &chars.as_string() : nullptr;
    return in.made(strip(s, name != "rstrip", name != "lstrip", set));
  }
  if (name == "startswith" || name == "endswith") {
    const Value what = sig.get("prefix");
    const auto part = part_of(s, sig);
    return Value::boolean(part && affix(s.substr(part->begin, part->end - part->begin), what, name == "startswith"));
  }
  if (name == "replace") {
    const std::string from = sig.need_string("old"), to = sig.need_string("new");
    return in.made(replaced(s, from, to, sig.get_int("count", -1)));
  }
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex") {
    const std::string what = sig.need_string("sub");
    const auto part = part_of(s, sig);
    const std::string_view in_part = part ? std::string_view(s).substr(part->begin, part->end - part->begin) : "";
    const size_t at = !part ? std::string::npos : name[0] == 'r' ? in_part.rfind(what) : in_part.find(what);
    if (at == std::string::npos && name.ends_with("index")) raise("substring not found");
    if (at == std::string::npos) return Value::integer(-1);
    return Value::integer(static_cast<int64_t>(length(std::string_view(s).substr(0, part->begin + at))));
  }
  if (name == "count") {
    const std::string what = sig.need_string("sub");
    const auto part = part_of(s, sig);
    if (!part) return Value::integer(0);
    const std::string text = s.substr(part->begin, part->end - part->begin);
    if (what.empty()) return Value::integer(static_cast<int64_t>(length(text)) + 1);
    return Value::integer(static_cast<int64_t>(split_at(text, what, -1, false).size()) - 1);
  }
  if (name == "center" || name == "ljust" || name == "rjust") {
    const Value width = sig.get("width");
    if (!width.is_whole()) raise("{}: the width must be an integer, not {}", name, width.type_name());
    const std::string fill = sig.get_string("fillchar", " ");
    sig.done();
    return in.made(padded(s, name, width.as_int(), fill));
  }
  if (name == "expandtabs") {
    const int64_t size = sig.get_int("tabsize", 8);
    sig.done();
    return in.made(expand_tabs(s, size));
  }
  if (name == "splitlines") {
    const bool keep_ends = sig.get_bool("keepends", false);
    sig.done();
    return strings(lines_of(s, keep_ends));
  }
  if (name == "join") {
    std::string out;
    bool first = true;
    for (const Value& v : iterate(sig.get("iterable"))) {
      if (!v.is(Kind::String)) raise("join: expected str, {} found", v.type_name());
      if (!first) out += s;
      out += v.as_string();
      first = false;
    }
    return in.made(std::move(out));
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const Value what = Value::string(sig.need_string("prefix"));
    if (!affix(s, what, name == "removeprefix")) return Value::string(s);
    const size_t n = what.as_string().size();
    return in.made(name == "removeprefix" ? s.substr(n) : s.substr(0, s.size() - n));
  }
  if (name == "partition" || name == "rpartition") {
    const std::string separator = sig.need_string("sep");
    const bool right = name == "rpartition";
    const auto parts = split_at(s, separator, 1, right);
    std::vector<Value> out;
    if (parts.size() == 2)
      out = {Value::string(parts[0]), Value::string(separator), Value::string(parts[1])};
    else
      out = {Value::string(right ? "" : s), Value::string(""), Value::string(right ? s : "")};
    return Value::list(std::move(out), ListKind::Tuple);
  }
  if (name == "zfill") {
    const int64_t width = std::min<int64_t>(sig.get_int("width", 0), 1 << 20);
    const int64_t missing = width - static_cast<int64_t>(length(s));
    if (missing <= 0) return Value::string(s);
    const size_t sign = !s.empty() && (s[0] == '-' || s[0] == '+') ? 1 : 0;
    return in.made(s.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + s.substr(sign));
  }
  sig.done();
  if (name == "upper") return in.made(upper(s));
  if (name == "lower") return in.made(lower(s));
  if (name == "title") return in.made(title(s));
  if (name == "capitalize") return in.made(capitalized(s));
  if (name == "swapcase") return in.made(swapcase(s));
  if (name == "istitle") return Value::boolean(is_title(s));
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
    return Value::callable(name, [object, name](Interpreter& in, Arguments& a) {
      if (!object.is_markup()) return string_method(in, object.as_string(), name, a);
      escape_arguments(name, a);
      return marked(string_method(in, object.as_string(), name, a));
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
      if (it == items.end()) raise("{} is not in the list", what.repr());
      return Value::integer(it - items.begin());
    });
  }
  return Value();
}

}  // namespace retort::model::jinja
