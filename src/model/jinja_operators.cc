// Python's arithmetic on template values. Integers are 64-bit; what would pass them is an Error, not a wrap.
#include <cmath>

#include "model/jinja_eval.h"

namespace retort::model::jinja {
namespace {

using Op = Expr::Op;

const char* symbol(Op op) {
  switch (op) {
    case Op::Add: return "+";
    case Op::Subtract: return "-";
    case Op::Multiply: return "*";
    case Op::Divide: return "/";
    case Op::FloorDivide: return "//";
    case Op::Modulo: return "%";
    default: return "**";
  }
}

[[noreturn]] void overflow() { raise_limit("integer beyond 64 bits"); }

Value integers(Op op, int64_t a, int64_t b) {
  int64_t r = 0;
  switch (op) {
    case Op::Add:
      if (__builtin_add_overflow(a, b, &r)) overflow();
      return Value::integer(r);
    case Op::Subtract:
      if (__builtin_sub_overflow(a, b, &r)) overflow();
      return Value::integer(r);
    case Op::Multiply:
      if (__builtin_mul_overflow(a, b, &r)) overflow();
      return Value::integer(r);
    case Op::Divide:
      if (b == 0) raise("division by zero");
      return Value::real(static_cast<double>(a) / static_cast<double>(b));
    case Op::FloorDivide:
    case Op::Modulo: {
      if (b == 0) raise("integer division or modulo by zero");
      if (b == -1) {
        if (op == Op::Modulo) return Value::integer(0);
        if (a == INT64_MIN) overflow();
        return Value::integer(-a);
      }
      int64_t q = a / b, m = a % b;
      if (m != 0 && (m < 0) != (b < 0)) {
        --q;
        m += b;
      }
      return Value::integer(op == Op::Modulo ? m : q);
    }
    default: {
      if (b < 0) {
        if (a == 0) raise("0.0 cannot be raised to a negative power");
        return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      int64_t base = a;
      r = 1;
      for (int64_t n = b; n > 0; n >>= 1) {
        if ((n & 1) != 0 && __builtin_mul_overflow(r, base, &r)) overflow();
        if (n > 1 && __builtin_mul_overflow(base, base, &base)) overflow();
      }
      return Value::integer(r);
    }
  }
}

Value reals(Op op, double a, double b) {
  switch (op) {
    case Op::Add: return Value::real(a + b);
    case Op::Subtract: return Value::real(a - b);
    case Op::Multiply: return Value::real(a * b);
    case Op::Divide:
      if (b == 0) raise("float division by zero");
      return Value::real(a / b);
    case Op::FloorDivide:
      if (b == 0) raise("float floor division by zero");
      return Value::real(std::floor(a / b));
    case Op::Modulo: {
      if (b == 0) raise("float modulo by zero");
      double m = std::fmod(a, b);
      if (m != 0 && (m < 0) != (b < 0)) m += b;
      return Value::real(m);
    }
    default: return Value::real(std::pow(a, b));
  }
}

int64_t whole_part(const Value& v) {
  if (!v.is(Kind::Float)) return v.as_int();
  if (!(std::fabs(v.as_double()) < 9e18)) raise_limit("format %d: {} does not fit 64 bits", v.text());
  return static_cast<int64_t>(v.as_double());
}

// "%s and %d" % (a, b)
Value percent_format(const Value& format, const Value& right) {
  const std::string& pattern = format.as_string();
  const bool markup = format.is_markup();
  std::vector<Value> values{right};
  if (right.is(Kind::List) && right.as_list().kind == ListKind::Tuple) values = iterate(right);
  scan(pattern.size());
  Text out;
  size_t used = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    if (++i >= pattern.size()) raise("incomplete format");
    if (pattern[i] == '%') {
      out += '%';
      continue;
    }
    int precision = -1;
    if (pattern[i] == '.') {
      precision = 0;
      for (++i; i < pattern.size() && pattern[i] >= '0' && pattern[i] <= '9'; ++i)
        precision = std::min(precision * 10 + (pattern[i] - '0'), 100);
    }
    if (used >= values.size()) raise("not enough arguments for format string");
    step();
    const Value& v = values[used++];
    const char c = i < pattern.size() ? pattern[i] : '\0';
    if (c == 's')
      out += markup ? html(v) : v.text();
    else if (c == 'r')
      out += markup ? html(Value::string(v.repr())) : v.repr();
    else if ((c == 'd' || c == 'i') && v.is_number())
      out += std::to_string(whole_part(v));
    else if (c == 'f' && v.is_number())
      out += fmt::format("{:.{}f}", v.as_double(), precision < 0 ? 6 : precision);
    else
      raise("format %{} of a {} is not supported", c, v.type_name());
  }
  if (used < values.size() && !right.is(Kind::Dict)) raise("not all arguments converted during string formatting");
  return markup ? Value::markup(out.done()) : Value::string(out.done());
}

}  // namespace

Value arithmetic(Op op, const Value& a, const Value& b) {
  if (a.is(Kind::String) && op == Op::Modulo) return percent_format(a, b);
  if (a.is(Kind::Undefined)) raise("{}", a.why_undefined());
  if (b.is(Kind::Undefined)) raise("{}", b.why_undefined());
  if (a.is_number() && b.is_number()) {
    return a.is_whole() && b.is_whole() ? integers(op, a.as_int(), b.as_int())
                                        : reals(op, a.as_double(), b.as_double());
  }
  if (op == Op::Add && a.is(Kind::String) && b.is(Kind::String)) {
    const bool markup = a.is_markup() || b.is_markup();
    Text out;
    out += markup ? html(a) : a.as_string();
    out += markup ? html(b) : b.as_string();
    return markup ? Value::markup(out.done()) : Value::string(out.done());
  }
  const auto plain = [](const Value& v) {
    return v.is(Kind::List) && (v.as_list().kind == ListKind::List || v.as_list().kind == ListKind::Tuple);
  };
  if (op == Op::Add && plain(a) && plain(b) && a.as_list().kind == b.as_list().kind) {
    step(static_cast<int64_t>(b.as_list().items.size()));
    std::vector<Value> items = iterate(a);
    items.insert(items.end(), b.as_list().items.begin(), b.as_list().items.end());
    return Value::list(std::move(items), a.as_list().kind);
  }
  if (op == Op::Multiply && (a.is_whole() || b.is_whole())) {
    const Value& sequence = a.is_whole() ? b : a;
    const int64_t times = std::max<int64_t>(0, (a.is_whole() ? a : b).as_int());
    if (sequence.is(Kind::String)) {
      Text out;
      out.repeat(sequence.as_string(), times);
      return sequence.is_markup() ? Value::markup(out.done()) : Value::string(out.done());
    }
    if (plain(sequence)) {
      const auto& unit = sequence.as_list().items;
      std::vector<Value> out;
      for (int64_t i = 0; i < times && !unit.empty(); ++i) {
        step(static_cast<int64_t>(unit.size()));
        out.insert(out.end(), unit.begin(), unit.end());
      }
      return Value::list(std::move(out), sequence.as_list().kind);
    }
  }
  raise("unsupported operand types for {}: '{}' and '{}'", symbol(op), a.type_name(), b.type_name());
}

}  // namespace retort::model::jinja
