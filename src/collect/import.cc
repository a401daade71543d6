#include "collect/import.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "record/questions.h"

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
  if (find(row, "messages") != nullptr && find(row, "content") == nullptr) return "messages";
  const Json* answer = find(row, "answer");
  if (answer != nullptr && answer->is_string() &&
      answer->get_ref<const std::string&>().find("\n####") != std::string::npos)
    return "gsm8k";
  return "columns";
}

using Answers = std::vector<Answered>;

Result<Answers> read_gsm8k(const Prompt& prompt) {
  RETORT_ASSIGN(const std::string solution, get_string(prompt.meta, "solution", ""));
  if (solution.empty()) return fail(Code::Invalid, "`answer` has no worked solution before `####`; is this GSM8K?");
  return Answers{{without_annotations(solution), fmt::format("The answer is \\boxed{{{}}}.", prompt.answer)}};
}

// The first of the assistant's turns.
Result<Answers> read_turns(const Json* turns) {
  if (turns == nullptr || !turns->is_array() || turns->empty())
    return fail(Code::Invalid, "the dialogue does not end with the assistant's turn");
  Message message;
  RETORT_TRY(decode((*turns)[0], message));
  return Answers{{message.reasoning, message.content}};
}

// Columns of several names. A list is a dialogue (TRL's `completion`) or several answers (`generations`).
Result<Answers> read_columns(const Json& row) {
  std::string reasoning;
  for (const char* key : {"reasoning", "reasoning_content", "thought", "thinking", "solution"}) {
    RETORT_ASSIGN(reasoning, get_string(row, key, ""));
    if (!reasoning.empty()) break;
  }
  bool left_empty = false;  // a column for the answer of a model, without one: a reference is no substitute for it
  for (const char* key : {"response", "content", "completion", "output", "generation", "generations", "answer"}) {
    const Json* value = find(row, key);
    if (value == nullptr || value->is_null()) continue;
    const bool reference = std::string_view(key) == "answer";
    if (reference && left_empty && reasoning.empty()) continue;
    left_empty = !reference;
    if (value->is_array()) {
      if (!value->empty() && value->front().is_object()) return read_turns(value);
      Answers out;
      for (const Json& one : *value) {
        if (!one.is_string()) return fail(Code::Invalid, "`{}` must hold texts, not {}", key, one.type_name());
        out.push_back({reasoning, one.get<std::string>()});
      }
      if (!out.empty()) return out;
      continue;
    }
    std::string text;
    if (reference && value->is_number()) {
      text = to_text(*value);
    } else {
      RETORT_ASSIGN(text, get_string(row, key, ""));
    }
    if (!text.empty()) return Answers{{std::move(reasoning), std::move(text)}};
  }
  return Answers{{std::move(reasoning), ""}};
}

Result<Answers> read_answers(const std::string& format, const Json& row, const Prompt& prompt) {
  if (format == "gsm8k") return read_gsm8k(prompt);
  if (format == "sharegpt" || format == "messages") return read_turns(find(prompt.meta, "answered"));
  return read_columns(row);
}

// The file's names for columns, as "question=q".
struct Column {
  std::string name, source;
};

Result<std::vector<Column>> parse_columns(const std::vector<std::string>& given) {
  static const std::vector<std::string> kNames = {"question", "reasoning", "content", "answer",  "id",
                                                  "task",     "rule",      "system",  "messages"};
  std::vector<Column> out;
  for (const std::string& one : given) {
    const size_t equals = one.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == one.size())
      return fail(Code::Invalid, "`columns` holds `{}`; write NAME=COLUMN, as question=q", one);
    Column column{one.substr(0, equals), one.substr(equals + 1)};
    if (std::find(kNames.begin(), kNames.end(), column.name) == kNames.end()) {
      const std::string near = nearest(column.name, kNames);
      return fail(Code::Invalid, "`columns` has no name `{}`; {}", column.name,
                  near.empty() ? "it has question, reasoning, content, answer, id, task, rule, system and messages"
                               : fmt::format("did you mean `{}`?", near));
    }
    out.push_back(std::move(column));
  }
  return out;
}

// The row under retort's names. What `columns` names comes first, so nothing else counts as a question or a content.
Status rename(const std::vector<Column>& columns, Json& row) {
  if (columns.empty() || !row.is_object()) return {};
  Json out = Json::object();
  for (const Column& column : columns) {
    const Json* value = find(row, column.source);
    if (value == nullptr)
      return fail(Code::Invalid, "the row has no column `{}`, which `columns` names", column.source);
    out[column.name] = *value;
  }
  const auto given = [&](std::string_view name) { return find(out, name) != nullptr; };
  for (const auto& [name, value] : row.items()) {
    const bool source = std::any_of(columns.begin(), columns.end(), [&](const Column& c) { return c.source == name; });
    const bool question = name == "prompt" || name == "question" || name == "problem" || name == "instruction" ||
                          name == "input" || name == "messages" || name == "conversations";
    const bool content = name == "response" || name == "content" || name == "completion" || name == "output";
    if (source || given(name) || (question && (given("question") || given("messages"))) ||
        (content && given("content")))
      continue;
    out[name] = value;
  }
  row = std::move(out);
  return {};
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

  RETORT_ASSIGN(const std::vector<Column> columns, parse_columns(options.columns));

  Accounting accounting;
  Questions questions;
  std::unordered_map<std::string, int> samples;  // taken of a prompt
  for (int64_t number = 1; options.limit == 0 || number <= options.limit; ++number) {
    RETORT_ASSIGN(std::optional<Row> row, rows.next());
    if (!row) break;
    const std::string raw = to_text(row->json);
    Prompt prompt;
    Status read = rename(columns, row->json);
    if (read.ok()) read = decode(row->json, prompt);
    if (read.ok()) {
      RETORT_ASSIGN(const std::string repeats, questions.add(prompt));
    } else {
      prompt.id = fmt::format("row {}", number);
    }
    accounting.in(prompt.id);
    const auto reject = [&](const std::string& reason, const std::string& detail) -> Status {
      accounting.dropped(prompt.id, reason);
      return dropped.put({prompt.id, "collect", reason, detail});
    };
    if (!read.ok()) {
      const bool list = row->json.is_array();
      RETORT_TRY(reject("malformed", list ? "this is a JSON array; write one object a line" : read.error().message));
      continue;
    }
    auto answers = read_answers(options.format == "auto" ? format_of(row->json) : options.format, row->json, prompt);
    if (!answers.ok()) {
      RETORT_TRY(reject("malformed", answers.error().message));
      continue;
    }
    for (Answered& answer : *answers) split_thought(answer);
    std::erase_if(*answers, [](const Answered& a) { return a.reasoning.empty() && a.content.empty(); });
    if (answers->empty()) {
      RETORT_TRY(reject("empty", "neither reasoning nor an answer"));
      continue;
    }
    if (!options.system.empty() && prompt.messages.front().role != "system")
      prompt.messages.insert(prompt.messages.begin(), Message{"system", options.system, "", {}});
    const std::string hash = sha256(raw);
    for (Answered& answer : *answers) {
      Trace t;
      t.prompt_id = prompt.id;
      t.sample = samples[prompt.id]++;
      t.raw_hash = hash;
      t.id = short_id(fmt::format("{}\n{}\n{}", t.prompt_id, t.sample, t.raw_hash));
      t.messages = prompt.messages;
      t.answer = prompt.answer;
      t.rule = prompt.rule;
      t.task = prompt.task.empty() ? options.task : prompt.task;
      t.reasoning = std::move(answer.reasoning);
      t.content = std::move(answer.content);
      t.finish_reason = "imported";
      t.teacher = permission.name;
      t.model = permission.name;
      t.permission_hash = permission.hash;
      if (t.reasoning.empty()) accounting.count("without_reasoning");
      RETORT_TRY(kept.put(t));
      accounting.kept(std::vector<std::string>{prompt.id});
    }
  }
  return accounting.finish();
}

}  // namespace retort::collect
