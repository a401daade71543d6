// Questions in plain English and the steps that answer them. One table serves both directions: generating fills a
// template, the procedural teacher finds the template that a question was made from.
// Slots: {a} {b} {c} numbers of up to three digits, {d} a digit, {n} {m} two people, {o} things; in arithmetic {a} {b}
// are the operands.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/steps.h"

namespace retort::tasks {

struct Template {
  const char* kind;  // "addition", "subtraction", "multiplication", "word"
  const char* text;
  const char* steps;  // "a+b" or "a*d -b": the second step goes on with the first one's result
};

const std::vector<Template>& templates();
const std::vector<std::string>& people();
const std::vector<std::string>& things();

using Slots = std::map<char, std::string>;  // 'a' -> "348", 'n' -> "Mia"

std::string fill(const Template& form, const Slots& slots);
std::vector<Step> steps_of(const Template& form, const Slots& slots);

struct Match {
  const Template* form = nullptr;
  Slots slots;
};

// The template and slots of a question (white space at its ends aside); nullopt where it is none of ours.
std::optional<Match> recognise(std::string_view question);

}  // namespace retort::tasks
