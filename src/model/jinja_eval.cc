#include "model/jinja_eval.h"

#include <algorithm>

#include "base/text.h"
#include "model/unicode.h"

namespace retort::model::jinja {

using Op = Expr::Op;

struct Interpreter::Deeper {
  explicit Deeper(Interpreter& in) : interpreter(in) {
    if (++in.depth_ > in.options_.limits.depth)
      raise_limit("the template nests deeper than {} calls and expressions", in.options_.limits.depth);
    step();
  }
  ~Deeper() { --interpreter.depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  Interpreter& interpreter;
};

Interpreter::~Interpreter() {
  for (const auto& data : namespaces_) data->items.clear();
  for (const ScopePtr& scope : scopes_) scope->values.clear();
}

namespace {

// What a scope counts as: its own and its memory's bookkeeping. The same for the members of `loop`.
constexpr size_t kScopeBytes = 256, kLoopBytes = 1024;

ScopePtr scope_in(const ScopePtr& parent) {
  take(kScopeBytes);
  auto fresh = std::make_shared<Scope>();
  fresh->parent = parent;
  return fresh;
}

// How many values `json` holds, and how many bytes of text.
void measure(const Json& json, int64_t& nodes, int64_t& bytes) {
  ++nodes;
  if (json.is_string()) bytes += static_cast<int64_t>(json.get_ref<const std::string&>().size());
  if (json.is_array() || json.is_object()) {
    for (const Json& item : json) measure(item, nodes, bytes);
  }
}

}  // namespace

void Interpreter::write(std::string& out, std::string_view text) {
  if (out.size() + text.size() > options_.limits.output_bytes)
    raise_limit("the template's output passes {} bytes", options_.limits.output_bytes);
  take(text.size());
  out += text;
}

std::string Interpreter::render(const Block& program, const Json& variables) {
  auto scope = std::make_shared<Scope>();
  scopes_.push_back(scope);
  if (variables.is_object()) {
    for (const auto& [name, value] : variables.items()) scope->values[name] = Value::from_json(value);
  }
  int64_t nodes = 0, bytes = 0;
  measure(variables, nodes, bytes);
  const Budget budget(options_, nodes, bytes);
  struct Report {
    const Budget& budget;
    RenderUse* use;
    ~Report() {
      if (use != nullptr) *use = budget.use();
    }
  } const report{budget, options_.use};
  globals_ = make_globals();
  auto top = scope_in(scope);
  scopes_.push_back(top);
  std::string out;
  run(program, top, out);
  return out;
}

Value Interpreter::find(const std::string& name, const ScopePtr& scope) {
  int hops = 0;
  for (const Scope* s = scope.get(); s != nullptr; s = s->parent.get()) {
    if (++hops % 4 == 0) step();
    const auto it = s->values.find(name);
    if (it != s->values.end()) return it->second;
  }
  const auto it = globals_.find(name);
  if (it != globals_.end()) return it->second;
  return Value::undefined("'" + name + "' is undefined");
}

std::string Interpreter::capture(const Block& block, const ScopePtr& scope) {
  std::string out;
  run(block, scope, out);
  return out;
}

Interpreter::Flow Interpreter::run(const Block& block, const ScopePtr& scope, std::string& out) {
  for (const auto& s : block) {
    const Flow flow = run(*s, scope, out);
    if (flow != Flow::Next) return flow;
  }
  return Flow::Next;
}

Interpreter::Flow Interpreter::run(const Stmt& s, const ScopePtr& scope, std::string& out) {
  const Deeper deeper(*this);
  const auto inner = [&] { return scope_in(scope); };
  switch (s.op) {
    case Stmt::Op::Text: write(out, s.text); break;
    case Stmt::Op::Print: {
      try {
        const Value v = eval(*s.value, scope);
        write(out, v.is(Kind::String) ? v.as_string() : v.text());
      } catch (Failure& failure) {
        if (failure.error.message.rfind("line ", 0) != 0)
          failure.error.message = fmt::format("line {}: {}", s.line, failure.error.message);
        throw;
      }
      break;
    }
    case Stmt::Op::If:
      for (const auto& [condition, body] : s.branches) {
        if (condition == nullptr || eval(*condition, scope).truthy()) return run(body, scope, out);
      }
      break;
    case Stmt::Op::For: return run_for(s, scope, out);
    case Stmt::Op::Set: assign(*s.target, eval(*s.value, scope), scope); break;
    case Stmt::Op::SetBlock: {
      Value v = Value::string(capture(s.body, inner()));
      if (s.value != nullptr) v = filtered(*s.value, v, scope);
      assign(*s.target, v, scope);
      break;
    }
    case Stmt::Op::Macro: scope->values[s.text] = macro(s, scope); break;
    case Stmt::Op::CallBlock: {
      const Value caller = macro(s, scope);
      write(out, eval_call(*s.value, scope, &caller).text());
      break;
    }
    case Stmt::Op::FilterBlock:
      write(out, filtered(*s.value, Value::string(capture(s.body, inner())), scope).text());
      break;
    case Stmt::Op::With: {
      const ScopePtr fresh = inner();
      for (const auto& [name, value] : s.bindings) assign(*name, eval(*value, scope), fresh);
      return run(s.body, fresh, out);
    }
    case Stmt::Op::Scope: run(s.body, inner(), out); break;
    case Stmt::Op::Break: return Flow::Break;
    case Stmt::Op::Continue: return Flow::Continue;
  }
  return Flow::Next;
}

Interpreter::Flow Interpreter::run_for(const Stmt& s, const ScopePtr& scope, std::string& out) {
  const Value source = eval(*s.value, scope);
  std::vector<Value> items = iterate(source);
  if (s.filter != nullptr) {
    std::vector<Value> kept;
    for (const Value& item : items) {
      auto fresh = std::make_shared<Scope>();
      fresh->parent = scope;
      assign(*s.target, item, fresh);
      if (eval(*s.filter, fresh).truthy()) kept.push_back(item);
    }
    items = std::move(kept);
  }
  const auto last_changed = std::make_shared<Value>(Value::undefined("loop.changed"));
  int64_t depth = 1;
  const Value outer = find("loop", scope);
  if (outer.is(Kind::Dict)) {
    if (const Value* d = lookup(outer.as_dict(), "depth"); d != nullptr && d->is(Kind::Int)) depth = d->as_int() + 1;
  }
  const int64_t n = static_cast<int64_t>(items.size());
  for (int64_t i = 0; i < n; ++i) {
    auto fresh = scope_in(scope);
    take(kLoopBytes);
    std::vector<std::pair<Value, Value>> loop;
    const auto put = [&](const char* name, Value v) { loop.emplace_back(Value::string(name), std::move(v)); };
    put("index", Value::integer(i + 1));
    put("index0", Value::integer(i));
    put("first", Value::boolean(i == 0));
    put("last", Value::boolean(i + 1 == n));
    put("length", Value::integer(n));
    put("revindex", Value::integer(n - i));
    put("revindex0", Value::integer(n - i - 1));
    put("depth", Value::integer(depth));
    put("depth0", Value::integer(depth - 1));
    put("previtem", i > 0 ? items[static_cast<size_t>(i - 1)] : Value::undefined("there is no previous item"));
    put("nextitem", i + 1 < n ? items[static_cast<size_t>(i + 1)] : Value::undefined("there is no next item"));
    put("cycle", Value::callable("cycle", [i](Interpreter&, Arguments& a) {
          if (a.positional.empty()) raise("loop.cycle needs items");
          return a.positional[static_cast<size_t>(i) % a.positional.size()];
        }));
    put("changed", Value::callable("changed", [last_changed](Interpreter&, Arguments& a) {
          const Value v = Value::list(a.positional);
          const bool changed = !equal(v, *last_changed);
          *last_changed = v;
          return Value::boolean(changed);
        }));
    fresh->values["loop"] = Value::dict(std::move(loop));
    assign(*s.target, items[static_cast<size_t>(i)], fresh);
    if (run(s.body, fresh, out) == Flow::Break) break;
  }
  if (n == 0 && !s.otherwise.empty()) {
    auto fresh = scope_in(scope);
    return run(s.otherwise, fresh, out);
  }
  return Flow::Next;
}

Value Interpreter::macro(const Stmt& s, const ScopePtr& scope) {
  scopes_.push_back(scope);
  return Value::callable(s.op == Stmt::Op::Macro ? s.text : "caller",
                         [&s, scope](Interpreter& in, Arguments& a) { return in.invoke(s, scope, a); });
}

Value Interpreter::invoke(const Stmt& s, const ScopePtr& scope, Arguments& a) {
  auto fresh = scope_in(scope);
  const std::string name = s.op == Stmt::Op::Macro ? s.text : "caller";
  const size_t given = std::min(a.positional.size(), s.parameters.size());
  if (given < a.positional.size() && !s.takes_varargs)
    raise("macro '{}' takes not more than {} argument(s), not {}", name, s.parameters.size(), a.positional.size());
  std::vector<Value> rest(a.positional.begin() + static_cast<std::ptrdiff_t>(given), a.positional.end());
  for (size_t i = 0; i < s.parameters.size(); ++i) {
    step(1 + static_cast<int64_t>(a.named.size()));
    const auto& [parameter, fallback] = s.parameters[i];
    const auto named =
        std::find_if(a.named.begin(), a.named.end(), [&](const auto& p) { return p.first == parameter; });
    if (i < given) {
      fresh->values[parameter] = a.positional[i];  // a second value by name is a spare one, refused below
      continue;
    } else if (named != a.named.end()) {
      fresh->values[parameter] = named->second;
    } else if (fallback != nullptr) {
      fresh->values[parameter] = eval(*fallback, fresh);
    } else {
      fresh->values[parameter] = Value::undefined("parameter '" + parameter + "' was not provided");
    }
    if (named != a.named.end()) a.named.erase(named);
  }
  std::vector<std::pair<Value, Value>> named;
  Value caller = Value::undefined("No caller defined");
  for (auto& [key, value] : a.named) {
    if (key == "caller" && s.takes_caller)
      caller = value;
    else if (s.takes_kwargs)
      named.emplace_back(Value::string(key), value);
    else if (key == "caller")
      raise("macro '{}' is called with a block but its body does not use caller", name);
    else
      raise("macro '{}' takes no keyword argument '{}', or takes it twice", name, key);
  }
  if (s.takes_caller && fresh->values.count("caller") == 0) fresh->values["caller"] = caller;
  if (s.takes_varargs) fresh->values["varargs"] = Value::list(std::move(rest), ListKind::Tuple);
  if (s.takes_kwargs) fresh->values["kwargs"] = Value::dict(std::move(named));
  return Value::string(capture(s.body, fresh));
}

void Interpreter::assign(const Expr& target, const Value& value, const ScopePtr& scope) {
  if (target.op == Op::Name) {
    scope->values[target.name] = value;
    return;
  }
  if (target.op == Op::Attribute) {
    const Value object = eval(*target.parts[0], scope);
    if (!object.is(Kind::Namespace)) raise("line {}: cannot assign attribute on non-namespace object", target.line);
    if (target.name[0] == '_') raise("line {}: a namespace cannot hold `{}`", target.line, target.name);
    DictData& data = object.as_namespace();
    step(static_cast<int64_t>(data.items.size() / 8));
    for (auto& [key, old] : data.items) {
      if (key.as_string() == target.name) {
        old = value;
        return;
      }
    }
    data.items.emplace_back(Value::string(target.name), value);
    return;
  }
  const std::vector<Value> items = iterate(value);
  if (value.is(Kind::Undefined)) raise("line {}: {}", target.line, value.why_undefined());
  if (items.size() != target.parts.size())
    raise("line {}: {} values for {} names", target.line, items.size(), target.parts.size());
  for (size_t i = 0; i < items.size(); ++i) assign(*target.parts[i], items[i], scope);
}

Arguments Interpreter::arguments(const Call& call, const ScopePtr& scope) {
  Arguments out;
  for (const ExprPtr& e : call.positional) out.positional.push_back(eval(*e, scope));
  if (call.star != nullptr) {
    for (Value& v : iterate(eval(*call.star, scope))) out.positional.push_back(std::move(v));
  }
  for (const auto& [name, e] : call.named) out.named.emplace_back(name, eval(*e, scope));
  if (call.star_star != nullptr) {
    const Value more = eval(*call.star_star, scope);
    if (!more.is(Kind::Dict)) raise("argument after ** must be a mapping, not {}", more.type_name());
    step(static_cast<int64_t>(more.as_dict().items.size()));
    for (const auto& [key, v] : more.as_dict().items) out.named.emplace_back(key.text(), v);
  }
  return out;
}

Value Interpreter::call(const Value& function, Arguments& a) {
  const Deeper deeper(*this);
  if (function.is(Kind::Undefined)) raise("{}", function.why_undefined());
  if (!function.is(Kind::Callable)) raise("'{}' object is not callable", function.type_name());
  return function.as_callable().call(*this, a);
}

Value Interpreter::eval_call(const Expr& e, const ScopePtr& scope, const Value* caller) {
  const Value function = eval(*e.parts[0], scope);
  Arguments a = arguments(e.call, scope);
  if (caller != nullptr) a.named.emplace_back("caller", *caller);
  return call(function, a);
}

Value Interpreter::filtered(const Expr& e, const Value& input, const ScopePtr& scope) {
  // A filter chain over a block has no input at its root.
  const Value value = e.parts[0] == nullptr ? input : filtered(*e.parts[0], input, scope);
  Arguments a = arguments(e.call, scope);
  return filter(e.name, value, a);
}

bool Interpreter::eval_compare(const Expr& e, const ScopePtr& scope) {
  Value left = eval(*e.parts[0], scope);
  for (size_t i = 0; i < e.names.size(); ++i) {
    Value right = eval(*e.parts[i + 1], scope);
    const std::string& op = e.names[i];
    bool yes = false;
    if (op == "==")
      yes = equal(left, right);
    else if (op == "!=")
      yes = !equal(left, right);
    else if (op == "in" || op == "not in")
      yes = contains(right, left) == (op == "in");
    else {
      const int order = compare(left, right);
      yes = op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
    }
    if (!yes) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::eval_slice(const Expr& e, const ScopePtr& scope) {
  const Value object = eval(*e.parts[0], scope);
  Value bounds[3];
  for (size_t k = 0; k < 3; ++k) {
    bounds[k] = e.parts[k + 1] == nullptr ? Value::none() : eval(*e.parts[k + 1], scope);
    if (!bounds[k].is(Kind::None) && !bounds[k].is_whole()) raise("line {}: slice indices must be integers", e.line);
  }
  if (object.is(Kind::Undefined)) raise("{}", object.why_undefined());
  const bool text = object.is(Kind::String);
  if (!text && (!object.is(Kind::List) || object.as_list().kind == ListKind::View ||
                object.as_list().kind == ListKind::Generator))
    raise("line {}: '{}' object cannot be sliced", e.line, object.type_name());
  const int64_t n =
      text ? static_cast<int64_t>(length(object.as_string())) : static_cast<int64_t>(object.as_list().items.size());
  const int64_t step_size = bounds[2].is(Kind::None) ? 1 : bounds[2].as_int();
  if (step_size == 0) raise("line {}: slice step cannot be zero", e.line);
  const auto bound = [&](const Value& v, int64_t fallback) {
    if (v.is(Kind::None)) return fallback;
    int64_t i = v.as_int();
    if (i < 0) i = i < -n ? (step_size < 0 ? -1 : 0) : i + n;
    return step_size > 0 ? std::min(i, n) : std::min(i, n - 1);
  };
  const int64_t from = bound(bounds[0], step_size > 0 ? 0 : n - 1), to = bound(bounds[1], step_size > 0 ? n : -1);
  const auto each = [&](const auto& take_item) {
    for (int64_t i = from; step_size > 0 ? i < to : i > to;) {
      step();
      take_item(static_cast<size_t>(i));
      if (__builtin_add_overflow(i, step_size, &i)) break;
    }
  };
  if (!text) {
    std::vector<Value> out;
    each([&](size_t i) { out.push_back(object.as_list().items[i]); });
    return Value::list(std::move(out), object.as_list().kind);
  }
  const std::string& whole = object.as_string();
  std::string slice;
  if (step_size == 1) {
    const size_t begin = bytes_of(whole, from);
    if (from < to) slice = whole.substr(begin, bytes_of(std::string_view(whole).substr(begin), to - from));
  } else {
    const std::vector<uint32_t> points = code_points(whole);
    each([&](size_t i) { append_utf8(slice, points[i]); });
  }
  return object.is_markup() ? Value::markup(std::move(slice)) : Value::string(std::move(slice));
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
  if (object.is(Kind::Undefined)) raise("{}", object.why_undefined());
  if (object.is(Kind::Namespace)) {
    const Value* v = lookup(object.as_dict(), name);
    return v != nullptr ? *v : Value::undefined("'Namespace object' has no attribute '" + brief(name) + "'");
  }
  Value bound = method(object, name);
  if (!bound.is(Kind::Undefined)) return bound;
  if (object.is(Kind::Dict)) {
    const Value* v = lookup(object.as_dict(), name);
    if (v != nullptr) return *v;
  }
  if (object.is(Kind::Callable) && name == "name") return Value::string(object.as_callable().name);
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", object.type_name(), brief(name)));
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (object.is(Kind::Undefined)) raise("{}", object.why_undefined());
  if (object.is(Kind::Dict)) {
    if (const Value* v = lookup(object.as_dict(), key)) return *v;
  } else if (key.is_whole() && (object.is(Kind::String) || object.is(Kind::List))) {
    if (object.is(Kind::List) &&
        (object.as_list().kind == ListKind::View || object.as_list().kind == ListKind::Generator))
      return Value::undefined(fmt::format("{} object has no element {}", object.type_name(), key.as_int()));
    const bool text = object.is(Kind::String);
    const int64_t n =
        text ? static_cast<int64_t>(length(object.as_string())) : static_cast<int64_t>(object.as_list().items.size());
    const int64_t i = key.as_int() < 0 ? key.as_int() + n : key.as_int();
    if (i < 0 || i >= n)
      return Value::undefined(fmt::format("{} object has no element {}", object.type_name(), key.as_int()));
    if (!text) return object.as_list().items[static_cast<size_t>(i)];
    const std::string_view rest = std::string_view(object.as_string()).substr(bytes_of(object.as_string(), i));
    std::string one(rest.substr(0, code_point_at(rest, 0).length));
    return object.is_markup() ? Value::markup(std::move(one)) : Value::string(std::move(one));
  }
  if (key.is(Kind::String)) return attribute(object, key.as_string());
  return Value::undefined(fmt::format("{} object has no element {}", object.type_name(), brief(key.repr())));
}

Value Interpreter::eval(const Expr& e, const ScopePtr& scope) {
  const Deeper deeper(*this);
  const auto part = [&](size_t i) { return eval(*e.parts[i], scope); };
  switch (e.op) {
    case Op::Constant: return e.constant;
    case Op::Name: return find(e.name, scope);
    case Op::List:
    case Op::Tuple: {
      std::vector<Value> items;
      for (const ExprPtr& p : e.parts) items.push_back(eval(*p, scope));
      return Value::list(std::move(items), e.op == Op::List ? ListKind::List : ListKind::Tuple);
    }
    case Op::Dict: {
      DictData data;
      for (size_t i = 0; i + 1 < e.parts.size(); i += 2) {
        step(static_cast<int64_t>(data.items.size() / 8));
        Value key = part(i), value = part(i + 1);
        const auto it =
            std::find_if(data.items.begin(), data.items.end(), [&](auto& p) { return equal(p.first, key); });
        if (it != data.items.end())
          it->second = std::move(value);
        else
          data.items.emplace_back(std::move(key), std::move(value));
      }
      return Value::dict(std::move(data.items));
    }
    case Op::Attribute: return attribute(part(0), e.name);
    case Op::Item: {
      const Value object = part(0);
      return item(object, part(1));
    }
    case Op::Slice: return eval_slice(e, scope);
    case Op::Call: return eval_call(e, scope, nullptr);
    case Op::Filter: {
      // Names are checked before the input is evaluated, as Jinja does when it compiles.
      if (!has_filter(e.name)) raise("line {}: no filter named '{}'", e.line, e.name);
      const Value input = part(0);
      Arguments a = arguments(e.call, scope);
      return filter(e.name, input, a);
    }
    case Op::Test: {
      if (!has_test(e.name)) raise("line {}: no test named '{}'", e.line, e.name);
      const Value input = part(0);
      Arguments a = arguments(e.call, scope);
      return Value::boolean(test(e.name, input, a));
    }
    case Op::Not: return Value::boolean(!part(0).truthy());
    case Op::And: {
      Value left = part(0);
      return left.truthy() ? part(1) : left;
    }
    case Op::Or: {
      Value left = part(0);
      return left.truthy() ? left : part(1);
    }
    case Op::Condition:
      if (part(0).truthy()) return part(1);
      return e.parts[2] != nullptr ? part(2) : Value::undefined("the inline if-expression has no else");
    case Op::Negate:
    case Op::Plus: {
      const Value v = part(0);
      if (v.is(Kind::Undefined)) raise("{}", v.why_undefined());
      if (!v.is_number()) raise("line {}: bad operand type for unary sign: '{}'", e.line, v.type_name());
      if (e.op == Op::Plus) return v.is(Kind::Bool) ? Value::integer(v.as_int()) : v;
      if (v.is(Kind::Float)) return Value::real(-v.as_double());
      if (v.as_int() == INT64_MIN) raise_limit("line {}: integer beyond 64 bits", e.line);
      return Value::integer(-v.as_int());
    }
    case Op::Compare: return Value::boolean(eval_compare(e, scope));
    case Op::Concat: {
      Text text;
      for (const ExprPtr& p : e.parts) {
        const Value v = eval(*p, scope);
        if (v.is(Kind::String))
          text += v.as_string();
        else
          text += v.text();
      }
      return Value::string(text.done());
    }
    default: break;
  }
  const Value left = part(0);
  const Value right = part(1);
  try {
    return arithmetic(e.op, left, right);
  } catch (Failure& failure) {
    if (failure.error.message.rfind("line ", 0) != 0)
      failure.error.message = fmt::format("line {}: {}", e.line, failure.error.message);
    throw;
  }
}

}  // namespace retort::model::jinja
