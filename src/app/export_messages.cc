#include "app/export_messages.h"

#include "record/example.h"
#include "record/stream.h"

namespace retort::app {

Result<int64_t> export_messages(const std::string& from, const std::string& to, bool apart, Env& env) {
  if (env.exists(to)) return fail(Code::Invalid, "{} exists; name another file, or remove it first", to);
  RETORT_ASSIGN(const auto source, open_jsonl<Example>(from));
  RETORT_ASSIGN(const auto sink, create_lines(to, env));
  int64_t count = 0;
  for (;;) {
    RETORT_ASSIGN(std::optional<Example> example, source->next());
    if (!example) break;
    Message answer{"assistant", example->content, example->reasoning, {}};
    if (!apart && !answer.reasoning.empty()) {
      answer.content = fmt::format("<think>\n{}\n</think>\n\n{}", answer.reasoning, answer.content);
      answer.reasoning.clear();
    }
    example->messages.push_back(std::move(answer));
    RETORT_TRY(sink->put(to_text(Json{{"messages", encode(example->messages)}})));
    ++count;
  }
  RETORT_TRY(sink->close());
  return count;
}

}  // namespace retort::app
