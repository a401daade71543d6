#include "app/unfinished.h"

#include <filesystem>

#include "app/stamp.h"
#include "app/step.h"
#include "app/step_clock.h"

namespace retort::app {

Result<std::optional<ledger::CostRow>> unfinished_row(const std::string& folder, Env& env) {
  const std::string work = folder + "/" + kWorkFolder;
  if (env.exists(folder + "/" + kStampName)) return std::optional<ledger::CostRow>();
  const auto claim = env.read_file(work + "/claim.json");
  const auto clock = read_clock(work, env);
  if (!claim.ok() || !clock.ok()) return std::optional<ledger::CostRow>();
  RETORT_ASSIGN(const Json json, parse_json(*claim));
  RETORT_ASSIGN(const std::string kind_and_version, need_string(json, "kind"));
  const std::string name = kind_and_version.substr(0, kind_and_version.find('/'));
  const StepKind* kind = find_kind(name);
  if (kind != nullptr && kind->books && kind->used == nullptr) return std::optional<ledger::CostRow>();
  ledger::CostRow row;
  if (kind != nullptr && kind->used != nullptr) RETORT_TRY(kind->used(work, row, env));
  row.stage = std::filesystem::path(folder).filename().string();
  row.run = row.stage + "/" + clock->run;
  row.what = name;
  row.state = "unfinished";
  row.seconds = clock->seconds;
  return std::optional<ledger::CostRow>(std::move(row));
}

}  // namespace retort::app
