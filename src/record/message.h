// One turn of a chat, as OpenAI's API and chat templates know it.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace retort {

struct Message {
  std::string role;       // "system", "user", "assistant", "tool"
  std::string content;    // without the reasoning
  std::string reasoning;  // `reasoning_content`: the visible thought of an assistant turn, else empty
  Json extra;             // any other members as they came (name, tool_calls, tool_call_id), null where none

  bool operator==(const Message&) const = default;
};

// {"role", "content", "reasoning_content" where not empty, extra members}
Json encode(const Message& message);
Status decode(const Json& json, Message& out);
Json encode(const std::vector<Message>& messages);
Status decode(const Json& json, std::vector<Message>& out);

}  // namespace retort
