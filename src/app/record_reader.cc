#include "app/record_reader.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "base/text.h"
#include "record/kind.h"
#include "record/prompt.h"
#include "record/stream.h"

namespace retort::app {
namespace {

struct Line {
  Json json;
};
Status decode(const Json& json, Line& out) {
  out.json = json;
  return {};
}

// A member as text, whatever it is; records of other programs may hold anything.
std::string text_of(const Json& json, const char* key) {
  const Json* value = find(json, key);
  if (value == nullptr || value->is_null()) return "";
  return value->is_string() ? value->get<std::string>() : to_text(*value);
}

std::string question_of(const Json& json) {
  const Json* messages = find(json, "messages");
  if (messages == nullptr || !messages->is_array()) return "";
  for (auto turn = messages->rbegin(); turn != messages->rend(); ++turn)
    if (text_of(*turn, "role") == "user") return text_of(*turn, "content");
  return "";
}

Result<ShownRecord> shown_of(const Json& json) {
  ShownRecord out;
  out.kind = record_kind(json);
  if (out.kind == "other") out.kind = "prompt";  // whose decoder says what it lacks
  if (out.kind == "prompt") {
    Prompt prompt;
    RETORT_TRY(decode(json, prompt));
    out.id = out.prompt_id = prompt.id;
    out.question = prompt.messages.back().content;
    out.reference = prompt.answer;
    return out;
  }
  out.id = text_of(json, "id");
  out.prompt_id = text_of(json, "prompt_id");
  if (out.kind == "reject") {
    out.reason = text_of(json, "reason");
    out.detail = text_of(json, "detail");
    return out;
  }
  out.question = question_of(json);
  out.thought = text_of(json, "reasoning");
  out.answer = text_of(json, "content");
  if (out.kind == "score") {
    out.reference = text_of(json, "gold");
    out.found = text_of(json, "pred");
    const bool correct = find(json, "correct") != nullptr && *find(json, "correct") == true;
    out.reason = correct ? "correct" : text_of(json, "how") == "no_answer" ? "no_answer" : "wrong";
  } else {
    out.reference = text_of(json, "answer");
    out.reason = text_of(json, out.kind == "example" ? "how" : "finish_reason");
  }
  return out;
}

// The files that may hold the inputs of `path`: in its folder and, as a run keeps them, in the folders beside that.
std::vector<std::string> files_beside(const std::string& path, Env& env) {
  namespace fs = std::filesystem;
  const std::string folder = fs::absolute(path).lexically_normal().parent_path().string();
  std::vector<std::string> folders = {folder}, out;
  const std::string above = fs::path(folder).parent_path().string();
  if (env.exists(folder + "/stamp.json")) {  // a step of a run
    if (auto names = env.list_directory(above); names.ok())
      for (const std::string& name : *names)
        if (above + "/" + name != folder && env.exists(above + "/" + name + "/stamp.json"))
          folders.push_back(above + "/" + name);
  }
  for (const std::string& one : folders)
    for (const char* name : {"traces", "prompts", "train", "test"})
      for (const char* end : {".jsonl", ".jsonl.zst"})
        if (env.exists(one + "/" + name + end)) out.push_back(one + "/" + name + end);
  return out;
}

// Fills in what the records' ids stand for, from one file.
Status look_up(const std::string& path, const std::unordered_map<std::string, std::vector<size_t>>& wanted,
               std::vector<ShownRecord>& records) {
  RETORT_ASSIGN(const auto lines, open_jsonl<Line>(path));
  for (;;) {
    RETORT_ASSIGN(const std::optional<Line> line, lines->next());
    if (!line) return {};
    auto input = shown_of(line->json);
    if (!input.ok() || input->kind == "reject") continue;
    const auto found = wanted.find(input->id);
    if (found == wanted.end()) continue;
    for (const size_t i : found->second) {
      ShownRecord& record = records[i];
      if (record.prompt_id.empty()) record.prompt_id = input->prompt_id;
      if (record.question.empty()) record.question = input->question;
      if (record.reference.empty()) record.reference = input->reference;
      if (record.answer.empty() && record.thought.empty())
        record.answer = input->answer, record.thought = input->thought;
    }
  }
}

// An evaluation keeps its questions beside its scores: prompt id to text.
void look_up_questions(const std::string& path, std::vector<ShownRecord>& records, Env& env) {
  const auto text = env.read_file(path);
  if (!text.ok()) return;
  const auto questions = parse_json(*text);
  if (!questions.ok()) return;
  for (ShownRecord& record : records) {
    const std::string& id = record.prompt_id.empty() ? record.id : record.prompt_id;
    if (record.question.empty()) record.question = text_of(*questions, id.c_str());
  }
}

}  // namespace

std::string excerpt(std::string_view text, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < text.size() && out.size() <= bytes + 4; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) ++i;
    if (c1 || byte <= ' ' || byte == 0x7f) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += text[i];
    }
  }
  out = to_utf8(trim(out));
  if (out.size() <= bytes) return out;
  std::string_view cut = std::string_view(out).substr(0, utf8_complete_prefix(std::string_view(out).substr(0, bytes)));
  constexpr size_t kWord = 24;
  if (const size_t end = cut.rfind(' '); end != std::string_view::npos && end + kWord > cut.size())
    cut = cut.substr(0, end);
  return std::string(cut) + " ...";
}

Result<ShownFile> read_shown(const std::string& path, const ShowOptions& options, Env& env) {
  ShownFile out;
  RETORT_ASSIGN(const auto lines, open_jsonl<Line>(path));
  for (;;) {
    RETORT_ASSIGN(const std::optional<Line> line, lines->next());
    if (!line) break;
    ++out.all;
    auto record = shown_of(line->json);
    if (!record.ok()) return within(fmt::format("{} record {}", path, out.all), std::move(record).error());
    if (!record->reason.empty()) ++out.reasons[record->reason];
    if (!options.reason.empty() && record->reason != options.reason) continue;
    ++out.matching;
    const bool room = options.limit == 0 || static_cast<int64_t>(out.records.size()) < options.limit;
    const bool few = options.each == 0 || out.reasons[record->reason] <= options.each;
    if (room && few) out.records.push_back(std::move(*record));
  }
  std::unordered_map<std::string, std::vector<size_t>> wanted;
  for (size_t i = 0; i < out.records.size(); ++i) {
    const ShownRecord& record = out.records[i];
    if (!record.question.empty()) continue;
    wanted[record.id].push_back(i);
    if (!record.prompt_id.empty()) wanted[record.prompt_id].push_back(i);
  }
  if (wanted.empty()) return out;
  look_up_questions((std::filesystem::path(path).parent_path() / "questions.json").string(), out.records, env);
  for (const std::string& file : options.with) RETORT_TRY(look_up(file, wanted, out.records));
  for (const std::string& file : files_beside(path, env))
    (void)look_up(file, wanted, out.records);  // as far as they can be read
  return out;
}

Json encode(const ShownRecord& record) {
  return {{"kind", record.kind},           {"id", record.id},         {"prompt_id", record.prompt_id},
          {"reason", record.reason},       {"detail", record.detail}, {"question", record.question},
          {"reference", record.reference}, {"found", record.found},   {"reasoning", record.thought},
          {"content", record.answer}};
}

}  // namespace retort::app
