// Example: one thing to learn from: a prompt, the thought, the answer, and where they came from.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "record/message.h"

namespace retort {

struct Example {
  std::string id;  // short_id of parents and text
  std::vector<std::string>
      parents;  // ids of the traces (and of the voters) it rests on; the first is the text's source
  std::string prompt_id;
  std::vector<Message> messages;  // the prompt
  std::string reasoning;          // "" for answers only
  std::string content;
  std::string answer;  // the checked or voted final answer
  std::string how;     // "reference", "vote", "grader": what vouches for the answer
  std::string task;
  std::string teacher;
  std::string permission_hash;
};

Json encode(const Example& example);
Status decode(const Json& json, Example& out);

}  // namespace retort
