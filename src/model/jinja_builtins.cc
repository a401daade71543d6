// Global functions and tests of chat templates, and how built-ins take their arguments.
#include <algorithm>
#include <ctime>
#include <functional>
#include <map>

#include "base/text.h"
#include "model/jinja_eval.h"

namespace retort::model::jinja {

Value Signature::get(const char* name) { return get(name, Value::undefined(std::string(name) + " is missing")); }

Value Signature::get(const char* name, Value fallback) {
  step(static_cast<int64_t>(arguments_.named.size() / 8));
  if (next_ < arguments_.positional.size()) return arguments_.positional[next_++];
  for (const auto& [key, value] : arguments_.named) {
    if (key == name) {
      ++used_;
      return value;
    }
  }
  return fallback;
}

int64_t Signature::get_int(const char* name, int64_t fallback) {
  const Value v = get(name, Value::integer(fallback));
  if (!v.is_whole()) raise("{}: `{}` must be an integer, not {}", function_, name, v.type_name());
  return v.as_int();
}
bool Signature::get_bool(const char* name, bool fallback) { return get(name, Value::boolean(fallback)).truthy(); }
std::string Signature::get_string(const char* name, const std::string& fallback) {
  const Value v = get(name, Value::string(fallback));
  if (!v.is(Kind::String)) raise("{}: `{}` must be a string, not {}", function_, name, v.type_name());
  return v.as_string();
}
std::string Signature::need_string(const char* name) {
  const Value v = get(name);
  if (!v.is(Kind::String)) raise("{}: `{}` must be a string, not {}", function_, name, v.type_name());
  return v.as_string();
}
void Signature::done() const {
  if (next_ < arguments_.positional.size()) raise("{}: too many arguments", function_);
  if (used_ < arguments_.named.size()) raise("{}: an argument has an unknown name", function_);
}

namespace {

Value range(Interpreter&, Arguments& a) {
  int64_t bounds[3] = {0, 0, 1};
  for (const Value& v : a.positional) {
    if (!v.is_whole()) raise("range: '{}' is not an integer", v.type_name());
  }
  const size_t n = a.positional.size();
  if (n == 0 || n > 3 || !a.named.empty()) raise("range takes 1 to 3 integers");
  if (n == 1) bounds[1] = a.positional[0].as_int();
  for (size_t i = 0; n > 1 && i < n; ++i) bounds[i] = a.positional[i].as_int();
  if (bounds[2] == 0) raise("range: the step is 0");
  std::vector<Value> out;
  for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1];) {
    if (out.size() >= 100000) raise_limit("range is larger than 100000, Jinja's sandbox limit");
    step();
    out.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, bounds[2], &i)) break;
  }
  return Value::list(std::move(out), ListKind::Range);
}

// What dict(...) and namespace(...) are made of.
std::vector<std::pair<Value, Value>> members(const char* function, Arguments& a) {
  std::vector<std::pair<Value, Value>> out;
  const auto put = [&](const Value& key, const Value& value) {
    step(1 + static_cast<int64_t>(out.size() / 8));
    const auto it = std::find_if(out.begin(), out.end(), [&](const auto& p) { return equal(p.first, key); });
    if (it != out.end())
      it->second = value;
    else
      out.emplace_back(key, value);
  };
  if (a.positional.size() > 1) raise("{} takes at most one positional argument", function);
  if (a.positional.size() == 1) {
    const Value& v = a.positional[0];
    if (v.is(Kind::Dict)) {
      for (const auto& [key, value] : v.as_dict().items) put(key, value);
    } else {
      for (const Value& pair : iterate(v)) {
        const auto parts = iterate(pair);
        if (parts.size() != 2) raise("{}: an element is not a pair", function);
        put(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [key, value] : a.named) put(Value::string(key), value);
  return out;
}

// strftime in the C locale, of UTC.
std::string format_time(int64_t now_us, const std::string& format) {
  const std::time_t seconds = static_cast<std::time_t>(now_us / 1000000);
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  if (format.empty()) return "";
  constexpr size_t kMaxFormat = 4096;
  if (format.size() > kMaxFormat)
    raise_limit("strftime_now: a format of {} bytes is longer than {}", format.size(), kMaxFormat);
  std::string out(format.size() * 8 + 256, '\0');
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &tm));
  return out;
}

bool is_sequence(const Value& v) {
  return v.is(Kind::Undefined) || v.is(Kind::String) || v.is(Kind::Dict) ||
         (v.is(Kind::List) && v.as_list().kind != ListKind::Generator && v.as_list().kind != ListKind::View);
}

using Test = std::function<bool(Interpreter&, const Value&, Arguments&)>;

Value argument(const char* test, Arguments& a) {
  if (a.positional.size() != 1 || !a.named.empty()) raise("the test `{}` takes one argument", test);
  return a.positional[0];
}

int64_t whole(const Value& v) {
  if (v.is(Kind::Undefined)) raise("{}", v.why_undefined());
  if (!v.is_whole()) raise("an integer is needed, not {}", v.type_name());
  return v.as_int();
}

std::map<std::string, Test> make_tests() {
  std::map<std::string, Test> t;
  const auto plain = [&](const char* name, bool (*f)(const Value&)) {
    t[name] = [f, name](Interpreter&, const Value& v, Arguments& a) {
      if (!a.positional.empty() || !a.named.empty()) raise("the test `{}` takes no argument", name);
      return f(v);
    };
  };
  plain("defined", [](const Value& v) { return !v.is(Kind::Undefined); });
  plain("undefined", [](const Value& v) { return v.is(Kind::Undefined); });
  plain("none", [](const Value& v) { return v.is(Kind::None); });
  plain("string", [](const Value& v) { return v.is(Kind::String); });
  plain("mapping", [](const Value& v) { return v.is(Kind::Dict); });
  plain("iterable", [](const Value& v) {
    return v.is(Kind::Undefined) || v.is(Kind::String) || v.is(Kind::List) || v.is(Kind::Dict);
  });
  plain("sequence", is_sequence);
  plain("number", [](const Value& v) { return v.is_number(); });
  plain("integer", [](const Value& v) { return v.is(Kind::Int); });
  plain("float", [](const Value& v) { return v.is(Kind::Float); });
  plain("boolean", [](const Value& v) { return v.is(Kind::Bool); });
  plain("true", [](const Value& v) { return v.is(Kind::Bool) && v.as_int() != 0; });
  plain("false", [](const Value& v) { return v.is(Kind::Bool) && v.as_int() == 0; });
  plain("callable", [](const Value& v) { return v.is(Kind::Callable) || v.is(Kind::Undefined); });
  plain("escaped", [](const Value& v) { return v.is_markup(); });
  plain("odd", [](const Value& v) { return whole(v) % 2 != 0; });
  plain("even", [](const Value& v) { return whole(v) % 2 == 0; });
  plain("upper", [](const Value& v) { return upper(v.text()) == v.text() && lower(v.text()) != v.text(); });
  plain("lower", [](const Value& v) { return lower(v.text()) == v.text() && upper(v.text()) != v.text(); });
  for (const char* name : {"eq", "equalto", "=="})
    t[name] = [name](Interpreter&, const Value& v, Arguments& a) { return equal(v, argument(name, a)); };
  for (const char* name : {"ne", "!="})
    t[name] = [name](Interpreter&, const Value& v, Arguments& a) { return !equal(v, argument(name, a)); };
  for (const char* name : {"lt", "lessthan", "<"})
    t[name] = [name](Interpreter&, const Value& v, Arguments& a) { return compare(v, argument(name, a)) < 0; };
  for (const char* name : {"le", "<="})
    t[name] = [name](Interpreter&, const Value& v, Arguments& a) { return compare(v, argument(name, a)) <= 0; };
  for (const char* name : {"gt", "greaterthan", ">"})
    t[name] = [name](Interpreter&, const Value& v, Arguments& a) { return compare(v, argument(name, a)) > 0; };
  for (const char* name : {"ge", ">="})
    t[name] = [name](Interpreter&, const Value& v, Arguments& a) { return compare(v, argument(name, a)) >= 0; };
  t["in"] = [](Interpreter&, const Value& v, Arguments& a) { return contains(argument("in", a), v); };
  t["sameas"] = [](Interpreter&, const Value& v, Arguments& a) {
    const Value other = argument("sameas", a);
    return v.kind() == other.kind() && (v.identity() != nullptr ? v.identity() == other.identity() : equal(v, other));
  };
  t["divisibleby"] = [](Interpreter&, const Value& v, Arguments& a) {
    const int64_t by = whole(argument("divisibleby", a));
    if (by == 0) raise("integer division or modulo by zero");
    return by == -1 || whole(v) % by == 0;
  };
  t["filter"] = [](Interpreter& in, const Value& v, Arguments&) { return in.has_filter(v.text()); };
  t["test"] = [](Interpreter& in, const Value& v, Arguments&) { return in.has_test(v.text()); };
  return t;
}

const std::map<std::string, Test>& tests() {
  static const std::map<std::string, Test> table = make_tests();
  return table;
}

}  // namespace

bool Interpreter::has_test(const std::string& name) const { return tests().count(name) != 0; }

bool Interpreter::test(const std::string& name, const Value& input, Arguments& a) {
  const auto it = tests().find(name);
  if (it == tests().end()) raise("no test named '{}'", name);
  return it->second(*this, input, a);
}

namespace {
// A template's own message, cut where it is no message any more.
std::string refusal(std::string_view text) {
  constexpr size_t kMost = 2000;
  return text.size() <= kMost ? std::string(text)
                              : std::string(text.substr(0, utf8_complete_prefix(text.substr(0, kMost)))) + "...";
}
}  // namespace

std::unordered_map<std::string, Value> make_globals() {
  std::unordered_map<std::string, Value> g;
  const auto add = [&](const char* name, std::function<Value(Interpreter&, Arguments&)> f) {
    g[name] = Value::callable(name, std::move(f));
  };
  add("raise_exception", [](Interpreter&, Arguments& a) -> Value {
    raise("the template refuses: {}", a.positional.empty() ? "" : refusal(a.positional[0].text()));
  });
  add("strftime_now", [](Interpreter& in, Arguments& a) {
    Signature sig("strftime_now", a);
    const std::string format = sig.need_string("format");
    sig.done();
    return Value::string(format_time(in.now_us(), format));
  });
  add("range", range);
  add("dict", [](Interpreter&, Arguments& a) { return Value::dict(members("dict", a)); });
  add("namespace", [](Interpreter& in, Arguments& a) {
    auto data = std::make_shared<DictData>();
    data->items = members("namespace", a);
    for (const auto& [key, value] : data->items) {
      if (!key.is(Kind::String) || key.as_string().rfind('_', 0) == 0)
        raise("a namespace cannot hold {}", brief(key.repr()));
    }
    in.keep(data);
    return Value::name_space(std::move(data));
  });
  add("joiner", [](Interpreter&, Arguments& a) {
    Signature sig("joiner", a);
    const std::string separator = sig.get_string("sep", ", ");
    const auto used = std::make_shared<bool>(false);
    return Value::callable("joiner", [separator, used](Interpreter&, Arguments&) {
      return Value::string(std::exchange(*used, true) ? separator : "");
    });
  });
  return g;
}

}  // namespace retort::model::jinja
