#include "collect/import.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "base/text.h"

namespace retort::collect {
namespace {

struct Answered {
  std::string reasoning, content;
};

// The thought at the start of a text, marked <think>...</think>.
void split_thought(Answered& answer) {
  if (!answer.reasoning.empty()) return;
  std::string_view text = trim(answer.content);
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const size_t close = text.find(kClose);
  if (close == std::string_view::npos) return;
  const size_t begin = text.starts_with(kOpen) ? kOpen.size() : 0;
  const std::string reasoning(trim(text.substr(begin, close - begin)));
  answer.content = std::string(trim(text.substr(close + kClose.size())));
  answer.reasoning = reasoning;
}

std::string format_of(const Json& row) {
  if (find(row, "conversations") != nullptr) return "sharegpt";
  if (find(row, "messages") != nullptr) return "messages";
  const Json* answer = find(row, "answer");
  if (answer != nullptr && answer->is_string() &&
      answer->get_ref<const std::string&>().find("\n####") != std::string::npos)
    return "gsm8k";
  return "columns";
}

Result<Answered> read_gsm8k(const Prompt& prompt) {
  RETORT_ASSIGN(const std::string solution, get_string(prompt.meta, "solution", ""));
  if (solution.empty()) return fail(Code::Invalid, "`answer` has no worked solution before `####`; is this GSM8K?");
  return Answered{without_annotations(solution), fmt::format("The answer is \\boxed{{{}}}.", prompt.answer)};
}

Result<Answered> read_dialogue(const Prompt& prompt) {
  const Json* turns = find(prompt.meta, "answered");
  if (turns == nullptr || !turns->is_array() || turns->empty())
    return fail(Code::Invalid, "the dialogue does not end with the assistant's turn");
  Message message;
  RETORT_TRY(decode((*turns)[0], message));
  return Answered{message.reasoning, message.content};
}

Result<Answered> read_columns(const Json& row) {
  Answered out;
  for (const char* key : {"reasoning", "reasoning_content", "thought", "thinking", "solution"}) {
    RETORT_ASSIGN(out.reasoning, get_string(row, key, ""));
    if (!out.reasoning.empty()) break;
  }
  for (const char* key : {"response", "content", "completion", "output"}) {
    RETORT_ASSIGN(out.content, get_string(row, key, ""));
    if (!out.content.empty()) break;
  }
  return out;
}

Result<Answered> read_answer(const std::string& format, const Json& row, const Prompt& prompt) {
  if (format == "gsm8k") return read_gsm8k(prompt);
  if (format == "sharegpt" || format == "messages") return read_dialogue(prompt);
  return read_columns(row);
}

}  // namespace

std::string without_annotations(std::string_view solution) {
  std::string out;
  while (!solution.empty()) {
    const size_t open = solution.find("<<");
    out += solution.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t line = std::min(solution.find('\n', open), solution.size());
    const size_t close = solution.substr(0, line).find(">>", open);
    if (close == std::string_view::npos) {  // no annotation is left in this line
      out += solution.substr(open, line - open);
      solution.remove_prefix(line);
    } else {
      solution.remove_prefix(close + 2);
    }
  }
  return out;
}

Result<Tally> run_import(const ImportOptions& options, const Permission& permission, Source<Row>& rows,
                         Sink<Trace>& kept, Sink<Reject>& dropped, Env& env) {
  RETORT_TRY(check_permission(permission, std::string(kImportEndpoint), env.wall_us()));
  static constexpr std::string_view kFormats[] = {"auto", "gsm8k", "sharegpt", "messages", "columns"};
  bool known = false;
  for (const std::string_view format : kFormats) known = known || format == options.format;
  if (!known)
    return fail(Code::Invalid, "`format` is `{}`; give auto, gsm8k, sharegpt, messages or columns", options.format);
  if (options.limit < 0) return fail(Code::Invalid, "`limit` is {}; give 0 (all) or more", options.limit);

  Accounting accounting;
  std::unordered_set<std::string> ids;
  for (int64_t number = 1; options.limit == 0 || number <= options.limit; ++number) {
    RETORT_ASSIGN(std::optional<Row> row, rows.next());
    if (!row) break;
    const std::string raw = to_text(row->json);
    Prompt prompt;
    Status read = decode(row->json, prompt);
    if (!read.ok()) prompt.id = fmt::format("row {}", number);
    if (!ids.insert(prompt.id).second)
      return fail(Code::Invalid, "row {} has the id `{}` of an earlier row; ids must be unique within a data set",
                  number, prompt.id);
    accounting.in(prompt.id);
    const auto reject = [&](const std::string& reason, const std::string& detail) -> Status {
      accounting.dropped(prompt.id, reason);
      return dropped.put({prompt.id, "collect", reason, detail});
    };
    if (!read.ok()) {
      RETORT_TRY(reject("malformed", read.error().message));
      continue;
    }
    auto answer = read_answer(options.format == "auto" ? format_of(row->json) : options.format, row->json, prompt);
    if (!answer.ok()) {
      RETORT_TRY(reject("malformed", answer.error().message));
      continue;
    }
    split_thought(*answer);
    if (answer->reasoning.empty() && answer->content.empty()) {
      RETORT_TRY(reject("empty", "neither reasoning nor an answer"));
      continue;
    }
    if (!options.system.empty() && prompt.messages.front().role != "system")
      prompt.messages.insert(prompt.messages.begin(), Message{"system", options.system, "", {}});
    Trace t;
    t.prompt_id = prompt.id;
    t.raw_hash = sha256(raw);
    t.id = short_id(fmt::format("{}\n{}\n{}", t.prompt_id, t.sample, t.raw_hash));
    t.messages = std::move(prompt.messages);
    t.answer = prompt.answer;
    t.task = prompt.task.empty() ? options.task : prompt.task;
    t.reasoning = std::move(answer->reasoning);
    t.content = std::move(answer->content);
    t.finish_reason = "imported";
    t.teacher = permission.name;
    t.model = permission.name;
    t.permission_hash = permission.hash;
    if (t.reasoning.empty()) accounting.count("without_reasoning");
    RETORT_TRY(kept.put(t));
    accounting.kept(std::vector<std::string>{prompt.id});
  }
  return accounting.finish();
}

}  // namespace retort::collect
