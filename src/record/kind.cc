#include "record/kind.h"

#include <string>

namespace retort {

std::string_view record_kind(const Json& json) {
  const auto has = [&](const char* key) { return find(json, key) != nullptr; };
  if (has("stage") && has("reason") && has("id")) return "reject";
  if (has("correct") && has("pred")) return "score";
  if (has("raw_hash") && has("finish_reason")) return "trace";
  if (has("parents") && has("how")) return "example";
  if (has("messages") || has("conversations") || has("prompt") || has("question")) return "prompt";
  return "other";
}

Status check_kind(const Json& json, std::string_view wanted) {
  if (!json.is_object()) return {};  // the decoder says so
  const std::string_view met = record_kind(json);
  std::string missing;
  for (const char* key : {"messages", "content"}) {
    if (find(json, key) == nullptr) missing += missing.empty() ? key : std::string("`, `") + key;
  }
  // Any record with a question can be asked again, and one written by hand may lack what gives its kind away.
  const bool fits = met == wanted || met == "other" || met == "prompt";
  if (fits && missing.empty()) return {};
  const auto article = [](std::string_view kind) { return kind == "example" ? "an" : "a"; };
  std::string message = met == "other" || met == wanted
                            ? fmt::format("no {}", wanted)
                            : fmt::format("{} {}, not {} {}", article(met), met, article(wanted), wanted);
  if (!missing.empty()) message += fmt::format(": `{}` is missing", missing);
  if (met == "trace" && wanted == "example") message += "; `retort curate` makes examples of traces";
  if (met == "prompt" && wanted == "trace") message += "; `retort collect` asks a teacher for traces";
  return fail(Code::Invalid, "{}", message);
}

}  // namespace retort
