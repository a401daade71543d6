// `retort show`: records of a file as a person reads them. Rejects come with the question and the answer that they are
// about. Texts are made harmless for the terminal.

#include <fmt/core.h>

#include "app/command.h"
#include "app/record_reader.h"
#include "app/say.h"

namespace retort::app {
namespace {

constexpr size_t kExcerpt = 240, kWhole = 1 << 20;

void print_field(std::string_view name, const std::string& text, size_t bytes) {
  if (!text.empty()) say("  {:<10} {}\n", name, excerpt(text, bytes));
}

void print_record(const ShownRecord& record, size_t bytes) {
  std::string head = excerpt(record.reason.empty() ? record.kind : record.reason, bytes);
  if (!record.detail.empty()) head += ": " + excerpt(record.detail, bytes);
  say("{}\n", head);
  const bool apart = !record.prompt_id.empty() && record.prompt_id != record.id;
  print_field("id", record.id + (apart ? " of prompt " + record.prompt_id : ""), bytes);
  print_field("question", record.question, bytes);
  print_field("thought", record.thought, bytes);
  print_field("answer", record.answer, bytes);
  print_field("found", record.found, bytes);
  print_field("reference", record.reference, bytes);
  say("\n");
}

struct State {
  ShowOptions options;
  std::string file;
  bool json = false, full = false;
};

Result<int> show(const State& state) {
  if (state.options.limit < 0) return fail(Code::Invalid, "--limit is {}; give 0 (all) or more", state.options.limit);
  RETORT_ASSIGN(const ShownFile shown, read_shown(state.file, state.options, system_env()));
  if (shown.matching == 0 && !state.options.reason.empty()) {
    std::string there;
    for (const auto& [reason, count] : shown.reasons)
      there += fmt::format("{}{} {}", there.empty() ? "" : ", ", count, excerpt(reason, 80));
    return fail(Code::NotFound, "{} has no record with the reason `{}`; it has {}", state.file, state.options.reason,
                there.empty() ? "none with a reason" : there);
  }
  if (state.json) {
    for (const ShownRecord& record : shown.records) say("{}\n", to_text(encode(record)));
    return 0;
  }
  for (const ShownRecord& record : shown.records) print_record(record, state.full ? kWhole : kExcerpt);
  const auto rest = shown.matching - static_cast<int64_t>(shown.records.size());
  say("{} of {} records{}\n", shown.records.size(), shown.all,
      rest > 0 ? fmt::format("; {} more fit: --limit 0 shows them", rest) : "");
  if (state.options.reason.empty())
    for (const auto& [reason, count] : shown.reasons) say("  {:<14} {}\n", excerpt(reason, 80), count);
  const bool blind = !shown.records.empty() && shown.records.front().question.empty();
  if (blind) say("their questions are in no file beside; name it: --with traces.jsonl\n");
  return 0;
}

}  // namespace

Command show_command() {
  return {"show", "show rejects with their questions and answers; traces, examples, scores and prompts too",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto state = std::make_shared<State>();
            cli.add_option("FILE", state->file, "rejects.jsonl, traces.jsonl, examples.jsonl, scores.jsonl or prompts")
                ->required();
            cli.add_option("--reason", state->options.reason,
                           "only these: a reject's reason; correct, wrong or no_answer of scores; stop, length, ... of "
                           "traces; reference, vote, ... of examples")
                ->type_name("WORD");
            cli.add_option("--limit", state->options.limit, "records shown; 0: all [10]");
            cli.add_option("--with", state->options.with,
                           "file of the inputs that rejects name (repeatable); those in the same folder and "
                           "in the other steps of its run are found without")
                ->type_name("FILE");
            cli.add_flag("--full", state->full, "whole texts, each still on one line");
            cli.add_flag("--json", state->json, "write one JSON object a line, texts whole");
            return [state]() { return show(*state); };
          }};
}

}  // namespace retort::app
