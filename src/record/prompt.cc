#include "record/prompt.h"

#include <cmath>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "record/codec.h"

namespace retort {
namespace {

// ShareGPT's names of who speaks.
std::string role_of(const std::string& from) {
  if (from == "human") return "user";
  if (from == "gpt" || from == "bot" || from == "model" || from == "chatgpt") return "assistant";
  if (from == "function_response" || from == "observation") return "tool";
  return from;
}

Status decode_sharegpt(const Json& turns, std::vector<Message>& out) {
  if (!turns.is_array()) return fail(Code::Invalid, "`conversations` must be a list, not {}", turns.type_name());
  for (const Json& turn : turns) {
    if (find(turn, "role") != nullptr) {  // messages under ShareGPT's name
      Message message;
      RETORT_TRY(decode(turn, message));
      out.push_back(std::move(message));
      continue;
    }
    Message message;
    RETORT_ASSIGN(const std::string from, need_string(turn, "from"));
    message.role = role_of(from);
    RETORT_ASSIGN(message.content, need_string(turn, "value"));
    out.push_back(std::move(message));
  }
  return {};
}

// An id or a reference answer may be written as a number: 43.0 is "43".
Result<std::string> text_or_number(const Json& value, std::string_view key) {
  if (value.is_null()) return std::string();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {
    const double x = value.get<double>();
    if (std::nearbyint(x) == x && std::fabs(x) < 9e15) return fmt::format("{}", static_cast<int64_t>(x));
  }
  if (value.is_number() || value.is_boolean()) return to_text(value);
  return fail(Code::Invalid, "`{}` must be a string or a number, not {}", key, value.type_name());
}

// The question as one text, from the first member that holds it.
Status decode_text(const Json& json, Prompt& out) {
  RETORT_ASSIGN(const std::string system, get_string(json, "system", ""));
  if (!system.empty()) out.messages.push_back({"system", system, "", {}});
  for (const char* key : {"prompt", "question", "problem", "instruction", "input"}) {
    const Json* value = find(json, key);
    if (value == nullptr || value->is_null()) continue;
    if (value->is_array()) return decode(*value, out.messages);
    RETORT_ASSIGN(std::string text, get_string(json, key, ""));
    if (text.empty()) continue;
    if (std::string_view(key) == "instruction") {
      RETORT_ASSIGN(const std::string input, get_string(json, "input", ""));
      if (!input.empty()) text += "\n\n" + input;
    }
    out.messages.push_back({"user", std::move(text), "", {}});
    return {};
  }
  return fail(Code::Invalid,
              "no question found; give `messages`, `conversations`, or a text under `prompt`, `question`, `problem`, "
              "`input` or `instruction`");
}

// "worked solution\n#### 72": GSM8K's way to write an answer.
void split_gsm8k(Prompt& out) {
  const size_t mark = out.answer.rfind("####");
  if (mark == std::string::npos || (mark > 0 && out.answer[mark - 1] != '\n')) return;
  const std::string solution(trim(std::string_view(out.answer).substr(0, mark)));
  out.answer = std::string(trim(std::string_view(out.answer).substr(mark + 4)));
  if (!solution.empty() && find(out.meta, "solution") == nullptr) out.meta["solution"] = solution;
}

}  // namespace

Json encode(const Prompt& prompt) {
  Json json = {{"id", prompt.id}, {"messages", encode(prompt.messages)}};
  json["answer"] = prompt.answer;
  if (!prompt.rule.empty()) json["rule"] = prompt.rule;
  json["task"] = prompt.task;
  if (!prompt.meta.is_null()) json["meta"] = prompt.meta;
  return json;
}

Status decode(const Json& json, Prompt& out) {
  out = Prompt();
  record_detail::Reader read(json, "prompt");
  read.text("rule", out.rule).text("task", out.task).any("meta", out.meta);
  RETORT_TRY(read.done());
  const Json* messages = find(json, "messages");
  const Json* conversations = find(json, "conversations");
  const bool chat = messages != nullptr || conversations != nullptr;
  if (messages != nullptr) {
    RETORT_TRY(decode(*messages, out.messages));
  } else if (conversations != nullptr) {
    RETORT_TRY(decode_sharegpt(*conversations, out.messages));
  } else {
    RETORT_TRY(decode_text(json, out));
  }
  // A data set's dialogue ends with the answer that is to be asked for anew: it is kept aside, not sent.
  std::vector<Message> answered;
  while (!out.messages.empty() && out.messages.back().role == "assistant") {
    answered.insert(answered.begin(), std::move(out.messages.back()));
    out.messages.pop_back();
  }
  if (out.messages.empty())
    return fail(Code::Invalid, "`messages` holds no turn to answer; give at least one user turn");
  if (!answered.empty() && (out.meta.is_null() || out.meta.is_object())) out.meta["answered"] = encode(answered);

  for (const char* key : {"answer", "gold", "solution", "expected"}) {
    const Json* value = find(json, key);
    if (value == nullptr || value->is_null()) continue;
    RETORT_ASSIGN(out.answer, text_or_number(*value, key));
    if (std::string_view(key) != "solution" && !chat && (out.meta.is_null() || out.meta.is_object())) {
      RETORT_ASSIGN(const std::string solution, get_string(json, "solution", ""));
      if (!solution.empty()) out.meta["solution"] = solution;
    }
    break;
  }
  if (!chat && (out.meta.is_null() || out.meta.is_object())) split_gsm8k(out);

  const Json* id = find(json, "id");
  if (id != nullptr) {
    RETORT_ASSIGN(out.id, text_or_number(*id, "id"));
  }
  if (out.id.empty()) out.id = short_id(to_text(encode(out.messages)));
  return {};
}

}  // namespace retort
