// Score: one graded answer of a model under evaluation.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace retort {

struct Score {
  std::string id;  // short_id of prompt id, model and sample
  std::string prompt_id;
  int sample = 0;
  std::string model;  // name or content hash of what answered
  std::string task;
  std::string gold;  // reference answer
  std::string pred;  // extracted answer, "" where none was found
  bool correct = false;
  std::string how;  // the rule that decided (verify::Verdict::how)
  std::string reasoning;
  std::string content;
  std::string finish_reason;
  int64_t tokens = 0;  // completion tokens
};

Json encode(const Score& score);
Status decode(const Json& json, Score& out);

}  // namespace retort
