// Prompt: a question put to a teacher or a student, with its reference answer where one is known.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "record/message.h"

namespace retort {

struct Prompt {
  std::string id;  // unique within a data set; where the source has none: short_id of the encoded messages
  std::vector<Message> messages;  // at least one; the last is not the assistant's
  std::string answer;             // reference answer, "" where unknown
  std::string rule;               // how answers are judged (verify/rule.h), "" for the run's rule
  std::string task;               // "addition", "gsm8k", ...: the group that figures are broken down by
  Json meta;                      // anything else worth keeping, null where none
};

Json encode(const Prompt& prompt);
// Accepts our own form and the common ones of data sets: {messages}, {conversations} (ShareGPT), or one text under
// `prompt`, `question`, `problem`, `input` or `instruction`; a reference under `answer`, `gold`, `solution` or
// `expected`. A GSM8K answer ("... #### 72") becomes its final part; its worked solution goes to meta.solution. Errors:
// Invalid, naming the members it looked for.
Status decode(const Json& json, Prompt& out);

}  // namespace retort
