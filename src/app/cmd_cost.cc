// `retort cost`: what runs used and paid, by stage, from the cost books and attempt logs below the given folders.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/core.h>

#include "app/command.h"
#include "app/say.h"
#include "app/stamp.h"
#include "app/step_clock.h"
#include "app/unfinished.h"
#include "base/log.h"
#include "base/progress.h"
#include "collect/collect.h"
#include "ledger/cost_book.h"
#include "store/attempt_log.h"

namespace retort::app {
namespace {

constexpr int kDeepest = 16;  // folders below the one given; a link in a circle ends there

// Attempt logs by their names, and the verb that keeps each.
const std::map<std::string, std::string> kStageOfLog = {
    {"collect.sqlite", "collect"}, {"grader.sqlite", "curate"}, {"eval.sqlite", "eval"}, {"chat.sqlite", "chat"}};

struct Found {
  std::vector<std::string> books, logs, steps;  // cost books, attempt logs, folders of steps
};

// What lies at or below `path`, sorted.
Status find_books(const std::string& path, int depth, Env& env, Found& found) {
  RETORT_ASSIGN(const auto names, env.list_directory(path));
  for (const std::string& name : names) {
    const std::string child = path + "/" + name;
    if (name == "costs.jsonl")
      found.books.push_back(child);
    else if (kStageOfLog.contains(name))
      found.logs.push_back(child);
    else if (name == kClockName && std::filesystem::path(path).filename() == kWorkFolder)
      found.steps.push_back(std::filesystem::path(path).parent_path().string());
    else if (depth < kDeepest && env.is_directory(child))
      RETORT_TRY(find_books(child, depth + 1, env, found));
  }
  return {};
}

// A run keeps a step's log in <step>/work; elsewhere the stage has the verb's name.
std::string stage_of(const std::string& log) {
  const auto path = std::filesystem::weakly_canonical(log);
  const auto folder = path.parent_path();
  if (folder.filename() == kWorkFolder) return folder.parent_path().filename().string();
  return kStageOfLog.at(path.filename().string());
}

// Rows of an attempt log that no book has: of a collection that is under way or was killed. The log's id in a row's run
// tells, wherever the book lies.
Status add_unbooked(const std::string& path, std::vector<ledger::CostRow>& rows, Env& env) {
  const auto live = [&]() -> Result<std::vector<ledger::CostRow>> {
    RETORT_ASSIGN(auto log, store::AttemptLog::open_read_only(path, env));
    return collect::cost_rows(log, stage_of(path), "");
  }();
  if (!live.ok()) {
    if (live.error().code == Code::NotFound) return {};  // nothing was sent yet
    if (live.error().code != Code::Unavailable) return live.error();
    log::warn("{} is in use; what its run has spent so far is left out", path);
    return {};
  }
  const size_t known = rows.size();
  for (const ledger::CostRow& row : *live) {
    const std::string run = row.run.substr(row.run.find('/'));
    const bool booked = std::any_of(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(known),
                                    [&](const auto& k) { return k.state == row.state && k.run.ends_with(run); });
    if (!booked) rows.push_back(row);
  }
  return {};
}

void print_table(const std::vector<ledger::StageCost>& stages) {
  say("{:<12} {:>9} {:>10} {:>10} {:>9} {:>9} {:>12} {:>12} {:>12} {:>9}\n", "stage", "requests", "tokens in",
      "tokens out", "time", "FLOPs", "cost", "possibly", "failed", "resumed");
  for (const auto& s : stages) {
    say("{:<12} {:>9} {:>10} {:>10} {:>9} {:>9} {:>12} {:>12} {:>12} {:>9}\n", s.stage, s.requests,
        format_count(static_cast<double>(s.tokens_in)), format_count(static_cast<double>(s.tokens_out)),
        format_duration(s.seconds), format_count(s.flops), format_usd(s.usd_micros), format_usd(s.possibly_usd_micros),
        format_usd(s.failed_usd_micros), format_duration(s.resumed_seconds));
  }
  say("possibly: money whose bill never came, the worst case; failed: work without a usable result; both are part "
      "of the cost.\n");
}

Result<int> run(const std::vector<std::string>& folders, bool json, Env& env) {
  std::vector<ledger::CostRow> rows;
  std::set<std::string> seen;
  Found all;
  size_t found = 0;
  for (const std::string& folder : folders) RETORT_TRY(find_books(folder, 0, env, all));
  for (const std::string& book : all.books) {
    if (!seen.insert(std::filesystem::weakly_canonical(book).string()).second) continue;
    RETORT_ASSIGN(const auto more, ledger::read_costs(book, env));
    rows.insert(rows.end(), more.begin(), more.end());
    ++found;
  }
  for (const std::string& log : all.logs) {
    if (!seen.insert(std::filesystem::weakly_canonical(log).string()).second) continue;
    RETORT_TRY(add_unbooked(log, rows, env));
    ++found;
  }
  for (const std::string& step : all.steps) {
    if (!seen.insert(std::filesystem::weakly_canonical(step).string()).second) continue;
    RETORT_ASSIGN(auto row, unfinished_row(step, env));
    if (!row) continue;
    ++found;
    // It may have died between booking and its stamp.
    if (std::none_of(rows.begin(), rows.end(), [&](const auto& r) { return r.run == row->run; }))
      rows.push_back(std::move(*row));
  }
  if (found == 0)
    return fail(Code::NotFound, "no cost book (costs.jsonl) below {}; give the folder of a run", folders.front());
  const auto stages = ledger::by_stage(rows);
  if (json) {
    for (const auto& stage : stages) say("{}\n", to_text(encode(stage)));
  } else {
    print_table(stages);
  }
  return 0;
}

}  // namespace

Command cost_command() {
  return {"cost", "show what runs used and paid, by stage, failed and resumed work included",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            struct State {
              std::vector<std::string> folders;
              bool json = false;
            };
            auto state = std::make_shared<State>();
            cli.add_option("folders", state->folders, "folders of runs")->type_name("DIR")->required();
            cli.add_flag("--json", state->json, "one JSON object a stage, then the total");
            return [state]() -> Result<int> { return run(state->folders, state->json, system_env()); };
          }};
}

}  // namespace retort::app
