#include "record/message.h"

#include <utility>

namespace retort {
namespace {

constexpr size_t kMostMembers = 256;  // of a message: its extra ones are copied one by one, each looked up among all

bool own_member(const std::string& key) {
  return key == "role" || key == "content" || key == "reasoning_content" || key == "reasoning";
}

// Content as a list of parts ({"type": "text", "text" or "value"}; "reasoning" parts go to the thought).
Status read_parts(const Json& parts, Message& out) {
  for (const Json& part : parts) {
    RETORT_ASSIGN(const std::string type, get_string(part, "type", "text"));
    const char* key = find(part, "text") != nullptr ? "text" : find(part, "value") != nullptr ? "value" : "thinking";
    if (type == "text" || type == "output_text" || type == "input_text") {
      RETORT_ASSIGN(const std::string text, get_string(part, key, ""));
      out.content += text;
    } else if (type == "reasoning" || type == "thinking") {
      RETORT_ASSIGN(const std::string text, get_string(part, key, ""));
      out.reasoning += text;
    } else {
      return fail(Code::Invalid, "`content` has a part of type `{}`; only text and reasoning parts are supported",
                  type);
    }
  }
  return {};
}

}  // namespace

Json encode(const Message& message) {
  Json json = {{"role", message.role}, {"content", message.content}};
  if (!message.reasoning.empty()) json["reasoning_content"] = message.reasoning;
  if (message.extra.is_object()) {
    for (const auto& [key, value] : message.extra.items()) {
      if (!own_member(key)) json[key] = value;
    }
  }
  return json;
}

Status decode(const Json& json, Message& out) {
  if (!json.is_object()) return fail(Code::Invalid, "a message must be a JSON object, not {}", json.type_name());
  if (json.size() > kMostMembers) return fail(Code::Invalid, "a message has {} members; are they one?", json.size());
  out = Message();
  RETORT_ASSIGN(out.role, need_string(json, "role"));
  if (out.role.empty()) return fail(Code::Invalid, "`role` is empty");
  const Json* content = find(json, "content");
  if (content != nullptr && content->is_array()) {
    RETORT_TRY(read_parts(*content, out));
  } else {
    RETORT_ASSIGN(out.content, get_string(json, "content", ""));
  }
  for (const char* key : {"reasoning_content", "reasoning"}) {
    if (!out.reasoning.empty()) break;
    RETORT_ASSIGN(out.reasoning, get_string(json, key, ""));
  }
  for (const auto& [key, value] : json.items()) {
    if (!own_member(key)) out.extra[key] = value;
  }
  return {};
}

Json encode(const std::vector<Message>& messages) {
  Json list = Json::array();
  for (const Message& message : messages) list.push_back(encode(message));
  return list;
}

Status decode(const Json& json, std::vector<Message>& out) {
  if (!json.is_array()) return fail(Code::Invalid, "messages must be a list, not {}", json.type_name());
  out.clear();
  out.reserve(json.size());
  for (const Json& item : json) {
    Message message;
    if (auto status = decode(item, message); !status.ok())
      return within(fmt::format("message {}", out.size() + 1), std::move(status).error());
    out.push_back(std::move(message));
  }
  return {};
}

}  // namespace retort
