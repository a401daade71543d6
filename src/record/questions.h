// Questions: tells a prompt that comes again from a new one. A row without an id has one made of its question, so a set
// that asks one thing twice gives one id twice; that is no fault of the set. One id for two questions is.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "record/prompt.h"

namespace retort {

class Questions {
 public:
  // "" for a new question, or for a reader what it repeats: "same question as row 1", with " but another answer" where
  // the reference differs. Rows count from 1, in the order of the calls. Errors: Invalid where the id stands for
  // another question.
  Result<std::string> add(const Prompt& prompt);

 private:
  struct Seen {
    int64_t row = 0;
    uint64_t messages = 0;
    std::string answer;
  };
  std::unordered_map<std::string, Seen> seen_;
  int64_t rows_ = 0;
};

}  // namespace retort
