// Steps: arithmetic as a short list of operations, and its worked chain in words that a small model can follow: one
// digit column a time from the right, every carry written down, so that each next token is a local look-up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace retort::tasks {

struct Step {
  std::optional<int64_t> left;  // absent: the result of the step before
  char op = '+';                // '+', '-' or '*'
  int64_t right = 0;

  bool operator==(const Step&) const = default;
};

// The result of all steps. Operands are 0 .. 99999, so nothing overflows.
int64_t evaluate(const std::vector<Step>& steps);

enum class Style {
  Columns,  // digit columns from the right with carries
  Plain,    // one equation a step, in sentences
};

// The chain of thought that leads to evaluate(steps).
std::string worked(const std::vector<Step>& steps, Style style);

// A form that is equal for problems that differ only by commuting: operands of + and * sorted.
std::string commuted_key(const std::vector<Step>& steps);

}  // namespace retort::tasks
