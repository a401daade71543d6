#include "curate/card.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include <fmt/format.h>

namespace retort::curate {
namespace {

Lengths lengths_of(std::vector<int64_t> bytes) {
  Lengths out;
  if (bytes.empty()) return out;
  std::sort(bytes.begin(), bytes.end());
  const size_t n = bytes.size();
  out.min = bytes.front();
  out.max = bytes.back();
  out.median = bytes[(n - 1) / 2];
  out.p90 = bytes[(n - 1) * 9 / 10];
  out.mean = static_cast<double>(std::accumulate(bytes.begin(), bytes.end(), int64_t{0})) / static_cast<double>(n);
  return out;
}

Json encode_lengths(const Lengths& l) {
  return {{"min", l.min}, {"median", l.median}, {"p90", l.p90}, {"max", l.max}, {"mean", l.mean}};
}

Json encode_groups(const std::map<std::string, CardGroup>& groups) {
  Json out = Json::object();
  for (const auto& [name, group] : groups) out[name] = {{"in", group.in}, {"kept", group.kept}};
  return out;
}

Json encode_files(const std::vector<CardFile>& files) {
  Json out = Json::array();
  for (const CardFile& file : files)
    out.push_back({{"name", file.name}, {"sha256", file.sha256}, {"records", file.records}});
  return out;
}

template <class Count>
Json encode_counts(const std::map<std::string, Count>& counts) {
  Json out = Json::object();
  for (const auto& [name, count] : counts) out[name] = count;
  return out;
}

// A name inside a Markdown table: no pipe or line break of its own.
std::string cell(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '|' ? "\\|" : c == '\n' ? " " : std::string(1, c);
  return out.empty() ? "(none)" : out;
}

std::string group_table(std::string_view title, const std::map<std::string, CardGroup>& groups) {
  std::string out = fmt::format("\n## {}\n\n| | in | kept |\n|---|---:|---:|\n", title);
  for (const auto& [name, group] : groups) out += fmt::format("| {} | {} | {} |\n", cell(name), group.in, group.kept);
  return out;
}

std::string file_table(std::string_view title, const std::vector<CardFile>& files) {
  if (files.empty()) return "";
  std::string out = fmt::format("\n## {}\n\n| file | records | SHA-256 |\n|---|---:|---|\n", title);
  for (const CardFile& file : files)
    out += fmt::format("| {} | {} | `{}` |\n", cell(file.name), file.records, file.sha256);
  return out;
}

}  // namespace

void describe(const std::vector<Trace>& traces, const std::vector<Example>& kept, const Tally& tally, Card& card) {
  card.tally = tally;
  card.tasks.clear();
  card.teachers.clear();
  card.permissions.clear();
  card.models.clear();
  card.how.clear();
  std::unordered_set<std::string> prompts, with_example, sources;
  for (const Example& example : kept) {
    ++card.tasks[example.task].kept;
    ++card.teachers[example.teacher].kept;
    ++card.permissions[example.permission_hash].kept;
    ++card.how[example.how];
    with_example.insert(example.prompt_id);
    if (!example.parents.empty()) sources.insert(example.parents.front());
  }
  for (const Trace& trace : traces) {
    ++card.tasks[trace.task].in;
    ++card.teachers[trace.teacher].in;
    ++card.permissions[trace.permission_hash].in;
    ++card.models[trace.model].in;
    card.models[trace.model].kept += sources.contains(trace.id) ? 1 : 0;
    prompts.insert(trace.prompt_id);
  }
  card.prompts = static_cast<int64_t>(prompts.size());
  card.prompts_kept = static_cast<int64_t>(with_example.size());
  std::vector<int64_t> reasoning, content;
  for (const Example& example : kept) {
    reasoning.push_back(static_cast<int64_t>(example.reasoning.size()));
    content.push_back(static_cast<int64_t>(example.content.size()));
  }
  card.reasoning = lengths_of(std::move(reasoning));
  card.content = lengths_of(std::move(content));
}

Json encode(const Card& card) {
  return {{"retort", "data card"},
          {"version", 1},
          {"tally", encode(card.tally)},
          {"prompts", card.prompts},
          {"prompts_kept", card.prompts_kept},
          {"held_out_questions", card.held_out_questions},
          {"vouched_by", encode_counts(card.how)},
          {"tasks", encode_groups(card.tasks)},
          {"teachers", encode_groups(card.teachers)},
          {"models", encode_groups(card.models)},
          {"permissions", encode_groups(card.permissions)},
          {"reasoning_bytes", encode_lengths(card.reasoning)},
          {"content_bytes", encode_lengths(card.content)},
          {"inputs", encode_files(card.inputs)},
          {"outputs", encode_files(card.outputs)},
          {"options", card.options},
          {"options_hash", card.options_hash}};
}

std::string markdown(const Card& card) {
  std::string out =
      fmt::format("# Data card\n\n{} traces of {} prompts became {} examples of {} prompts; {} traces were dropped.\n",
                  card.tally.in, card.prompts, card.tally.kept, card.prompts_kept, card.tally.dropped);
  if (card.held_out_questions > 0)
    out += fmt::format("Checked against {} held-out questions, commuted operands counted as the same.\n",
                       card.held_out_questions);
  out += "\n## Dropped, by reason\n\n| reason | traces |\n|---|---:|\n";
  for (const auto& [reason, count] : card.tally.reasons) out += fmt::format("| {} | {} |\n", reason, count);
  out += "\n## Kept, by what vouches for the answer\n\n| | examples |\n|---|---:|\n";
  for (const auto& [how, count] : card.how) out += fmt::format("| {} | {} |\n", how, count);
  if (const auto mended = card.tally.counts.find("mended_identity"); mended != card.tally.counts.end())
    out += fmt::format("\n{} examples had a sentence naming the teacher taken out.\n", mended->second);
  out += group_table("Tasks", card.tasks) + group_table("Teachers", card.teachers) +
         group_table("Models, as they name themselves", card.models) +
         group_table("Permission records (SHA-256)", card.permissions);
  out +=
      "\n## Lengths of the examples, bytes\n\n| | min | median | mean | 90 % | max |\n|---|---:|---:|---:|---:|---:|\n";
  for (const auto& [name, l] : {std::pair("reasoning", card.reasoning), std::pair("content", card.content)})
    out += fmt::format("| {} | {} | {} | {:.0f} | {} | {} |\n", name, l.min, l.median, l.mean, l.p90, l.max);
  out += file_table("Inputs", card.inputs) + file_table("Outputs", card.outputs);
  if (!card.options_hash.empty()) out += fmt::format("\nOptions: `{}`\n", card.options_hash);
  return out;
}

}  // namespace retort::curate
