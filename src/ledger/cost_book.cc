#include "ledger/cost_book.h"

#include <filesystem>
#include <map>

#include "ledger/appended_lines.h"

namespace retort::ledger {
namespace {

bool known_state(const std::string& state) {
  return state == "done" || state == "failed" || state == "possibly charged" || state == "resumed";
}

void add(StageCost& sum, const CostRow& row) {
  // A row may hold any number.
  const auto add_to = [](int64_t& total, int64_t value) { total = saturating_add(total, value); };
  add_to(sum.requests, row.requests);
  add_to(sum.tokens_in, row.tokens_in);
  add_to(sum.tokens_out, row.tokens_out);
  sum.flops += row.flops;
  sum.seconds += row.seconds;
  sum.usd_micros += row.usd_micros;
  if (row.state == "possibly charged") sum.possibly_usd_micros += row.usd_micros;
  if (row.state == "failed") {
    sum.failed_usd_micros += row.usd_micros;
    sum.failed_seconds += row.seconds;
    add_to(sum.failed_requests, row.requests);
  }
  if (row.state == "resumed") {
    sum.resumed_seconds += row.seconds;
    add_to(sum.resumed_requests, row.requests);
  }
}

}  // namespace

Json encode(const CostRow& row) {
  return {{"stage", row.stage},           {"run", row.run},           {"what", row.what},
          {"state", row.state},           {"requests", row.requests}, {"tokens_in", row.tokens_in},
          {"tokens_out", row.tokens_out}, {"flops", row.flops},       {"seconds", row.seconds},
          {"usd_micros", row.usd_micros}};
}

Status decode(const Json& json, CostRow& out) {
  if (!json.is_object()) return fail(Code::Invalid, "a cost row must be a JSON object, not {}", json.type_name());
  RETORT_ASSIGN(out.stage, need_string(json, "stage"));
  RETORT_ASSIGN(out.run, get_string(json, "run", ""));
  RETORT_ASSIGN(out.what, get_string(json, "what", ""));
  RETORT_ASSIGN(out.state, get_string(json, "state", "done"));
  if (!known_state(out.state)) return fail(Code::Invalid, "`state` is `{}`, which no cost row has", out.state);
  RETORT_ASSIGN(out.requests, get_int(json, "requests", 0));
  RETORT_ASSIGN(out.tokens_in, get_int(json, "tokens_in", 0));
  RETORT_ASSIGN(out.tokens_out, get_int(json, "tokens_out", 0));
  RETORT_ASSIGN(out.flops, get_double(json, "flops", 0));
  RETORT_ASSIGN(out.seconds, get_double(json, "seconds", 0));
  RETORT_ASSIGN(out.usd_micros, get_int(json, "usd_micros", 0));
  return {};
}

Status append_costs(const std::string& path, const std::vector<CostRow>& rows, Env& env) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty()) RETORT_TRY(env.make_directories(folder));
  RETORT_ASSIGN(auto book, AppendedLines::open(path, env));
  std::vector<std::string> lines;
  for (const CostRow& row : rows) lines.push_back(to_text(encode(row)));
  return book.append(lines);
}

Result<std::vector<CostRow>> read_costs(const std::string& path, Env& env) {
  if (!env.exists(path)) return fail(Code::NotFound, "there is no cost book at {}", path);
  RETORT_ASSIGN(const auto read, read_lines(path, env));
  std::vector<CostRow> rows;
  std::map<std::string, size_t> at;
  int64_t number = 0;
  for (const std::string& line : read.lines) {
    const std::string where = fmt::format("{} line {}", path, ++number);
    auto json = parse_json(line);
    if (!json.ok()) return within(where, std::move(json).error());
    CostRow row;
    if (auto status = decode(*json, row); !status.ok()) return within(where, std::move(status).error());
    const std::string key = to_text({row.stage, row.run, row.what, row.state});
    const auto [it, fresh] = at.emplace(key, rows.size());
    if (fresh)
      rows.push_back(std::move(row));
    else
      rows[it->second] = std::move(row);
  }
  return rows;
}

Json encode(const StageCost& c) {
  return {{"stage", c.stage},
          {"requests", c.requests},
          {"tokens_in", c.tokens_in},
          {"tokens_out", c.tokens_out},
          {"flops", c.flops},
          {"seconds", c.seconds},
          {"usd_micros", c.usd_micros},
          {"possibly_charged_usd_micros", c.possibly_usd_micros},
          {"failed_usd_micros", c.failed_usd_micros},
          {"failed_seconds", c.failed_seconds},
          {"failed_requests", c.failed_requests},
          {"resumed_seconds", c.resumed_seconds},
          {"resumed_requests", c.resumed_requests}};
}

std::vector<StageCost> by_stage(const std::vector<CostRow>& rows) {
  std::vector<StageCost> out;
  StageCost total;
  total.stage = "total";
  for (const CostRow& row : rows) {
    StageCost* sum = nullptr;
    for (StageCost& stage : out) {
      if (stage.stage == row.stage) sum = &stage;
    }
    if (sum == nullptr) {
      sum = &out.emplace_back();
      sum->stage = row.stage;
    }
    add(*sum, row);
    add(total, row);
  }
  out.push_back(total);
  return out;
}

}  // namespace retort::ledger
