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

// Every column is its digits' own fact first (7+6=13), then the carry (+1=14): two look-ups instead of one sum of
// three.
std::string add_columns(int64_t left, int64_t right) {
  const auto a = digits(left), b = digits(right);
  std::string out = fmt::format("{}+{}", left, right);
  int carry = 0;
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const int pair = digit(a, i) + digit(b, i), sum = pair + carry;
    out += fmt::format("\n{}+{}={}", digit(a, i), digit(b, i), pair);
    if (carry != 0) out += fmt::format(" +1={}", sum);
    carry = sum / 10;
  }
  return out;
}

// left >= right
std::string subtract_columns(int64_t left, int64_t right) {
  const auto a = digits(left), b = digits(right);
  std::string out;
  int borrow = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    int rest = a[i] - digit(b, i) - borrow;
    const bool lend = rest < 0;
    if (lend) rest += 10;
    out += fmt::format("\n{}-{}{}={}", a[i], digit(b, i), lend ? "+10" : "", rest + borrow);
    if (borrow != 0) out += fmt::format(" -1={}", rest);
    borrow = lend ? 1 : 0;
  }
  return out;
}

// right is a digit
std::string multiply_columns(int64_t left, int64_t right) {
  std::string out = fmt::format("{}*{}", left, right);
  int carry = 0;
  for (const int d : digits(left)) {
    const int product = d * static_cast<int>(right), sum = product + carry;
    out += fmt::format("\n{}*{}={}", d, right, product);
    if (carry != 0) out += fmt::format(" +{}={}", carry, sum);
    carry = sum / 10;
  }
  return out;
}

std::string columns(int64_t left, char op, int64_t right) {
  if (op == '+') return add_columns(left, right);
  if (op == '*') return right <= 9 ? multiply_columns(left, right) : multiply_columns(right, left);
  return left >= right ? fmt::format("{}-{}", left, right) + subtract_columns(left, right)
                       : fmt::format("-({}-{})", right, left) + subtract_columns(right, left);
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
