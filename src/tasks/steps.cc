#include "tasks/steps.h"

#include <algorithm>

#include <fmt/format.h>

namespace retort::tasks {
namespace {

int64_t apply(int64_t left, char op, int64_t right) {
  return op == '+' ? left + right : op == '-' ? left - right : left * right;
}

// Digits from the right; 0 has one.
std::vector<int> digits(int64_t n) {
  std::vector<int> out;
  do out.push_back(static_cast<int>(n % 10));
  while ((n /= 10) > 0);
  return out;
}

int digit(const std::vector<int>& all, size_t i) { return i < all.size() ? all[i] : 0; }

// One column of a sum, a difference or a product: its equations, and the value whose last digit is the result's digit.
struct Column {
  std::string equations;
  int value = 0;
};

// Each equation is one fact of two digits; a carry is added in an equation of its own. A difference adds the nines'
// complement (9-e, then d + that + 1), so that sums are the only facts to know.
std::vector<Column> columns_of(int64_t left, char op, int64_t right) {
  const auto a = digits(left), b = digits(right);
  std::vector<Column> out;
  int carry = op == '-' ? 1 : 0;
  const size_t count = op == '*' ? a.size() : std::max(a.size(), b.size());
  for (size_t i = 0; i < count; ++i) {
    const int d = digit(a, i), e = op == '*' ? b[0] : digit(b, i);
    Column column;
    if (op == '*') {
      const int product = d * e;
      column.value = product + carry;
      column.equations = fmt::format("{}*{}={}", d, e, product);
      if (carry != 0)
        column.equations += fmt::format(" {}+{}={} {}", product % 10, carry, product % 10 + carry, column.value);
    } else {
      const int f = op == '-' ? 9 - e : e;
      if (op == '-') column.equations = fmt::format("9-{}={} ", e, f);
      column.value = d + f + carry;
      column.equations += fmt::format("{}+{}={}", d, f, d + f);
      if (carry != 0) column.equations += fmt::format(" +1={}", column.value);
    }
    carry = column.value / 10;
    out.push_back(std::move(column));
  }
  return out;
}

// left >= right for '-', one digit on the right for '*'. After each column stands the result so far, and what is left
// of the operands, so that no later step has to look far back.
std::string columns(int64_t left, char op, int64_t right) {
  if (op == '*' && right > 9) std::swap(left, right);
  if (op == '-' && left < right) {
    const std::string inner = columns(right, op, left);
    const size_t head = inner.find('\n');
    return "-(" + inner.substr(0, head) + ")" + inner.substr(head);
  }
  const std::string a = std::to_string(left), b = std::to_string(right);
  const std::vector<Column> all = columns_of(left, op, right);
  std::string out = a + op + b, result;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool last = i + 1 == all.size();
    const std::string value = std::to_string(all[i].value);
    result = (last && op != '-' ? value : value.substr(value.size() - 1)) + result;
    out += fmt::format("\n{}|{}", all[i].equations, result);
    if (last) break;
    const std::string rest_a = i + 1 < a.size() ? a.substr(0, a.size() - 1 - i) : "0";
    const std::string rest_b = i + 1 < b.size() ? b.substr(0, b.size() - 1 - i) : "0";
    out += " " + (op == '*' ? rest_a : rest_a + op + rest_b);
  }
  return out;
}

}  // namespace

int64_t evaluate(const std::vector<Step>& steps) {
  int64_t result = 0;
  for (const Step& step : steps) result = apply(step.left.value_or(result), step.op, step.right);
  return result;
}

std::string worked(const std::vector<Step>& steps, Style style) {
  std::string out;
  int64_t result = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const int64_t left = step.left.value_or(result);
    result = apply(left, step.op, step.right);
    if (i > 0) out += style == Style::Columns ? "; " : " ";
    if (style == Style::Columns) {
      out += columns(left, step.op, step.right);
    } else {
      const char* lead = steps.size() == 1 ? "We work out" : i == 0 ? "First," : "Then,";
      out += fmt::format("{} {} {} {} = {}.", lead, left, step.op, step.right, result);
    }
  }
  return out;
}

std::string commuted_key(const std::vector<Step>& steps) {
  std::string key;
  for (const Step& step : steps) {
    std::string left = step.left ? std::to_string(*step.left) : "_", right = std::to_string(step.right);
    if (step.left && step.op != '-' && *step.left > step.right) std::swap(left, right);
    // a - b and b - a are one fact.
    if (step.left && step.op == '-' && *step.left < step.right) std::swap(left, right);
    key += left + step.op + right + ";";
  }
  return key;
}

}  // namespace retort::tasks
