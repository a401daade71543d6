#include "app/report.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "app/record_reader.h"
#include "app/report_page.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/text.h"
#include "eval/eval.h"
#include "eval/summary.h"
#include "ledger/cost_book.h"
#include "record/score.h"
#include "record/stream.h"
#include "record/tally.h"

namespace retort::app {
namespace {

constexpr int kVersion = 1;
constexpr size_t kMostLossPoints = 400;
constexpr int kLengthBins = 30;
constexpr int kRejectsEach = 3;             // of a step and reason
constexpr size_t kMostRejectBytes = 2'000;  // of one text

struct Shown {
  std::string step, label;
  std::vector<Score> scores;
};

template <class T>
Result<std::vector<T>> read_records(const std::string& path) {
  RETORT_ASSIGN(const auto source, open_jsonl<T>(path));
  return read_all(*source);
}

Result<Json> read_json(const std::string& path, Env& env) {
  RETORT_ASSIGN(const std::string text, env.read_file(path));
  auto json = parse_json(text);
  if (!json.ok()) return within(path, std::move(json).error());
  return json;
}

// What the recipe's `report` section asks to show: evaluations with their labels, pairs to compare, samples to print.
struct Wanted {
  std::vector<std::pair<std::string, std::string>> evals;  // step, label
  std::vector<std::pair<std::string, std::string>> pairs;  // labels
  int64_t samples = 6;
};

Result<Wanted> read_wanted(const Recipe& recipe) {
  Wanted wanted;
  const Json& section = recipe.report;
  if (!section.is_null())
    RETORT_TRY(options_detail::check_keys(section, {"evals", "comparisons", "samples"}, "report"));
  if (const Json* evals = find(section, "evals")) {
    for (const Json& entry : *evals) {
      RETORT_ASSIGN(const std::string step, need_string(entry, "step"));
      RETORT_ASSIGN(const std::string label, get_string(entry, "label", step));
      wanted.evals.emplace_back(step, label);
    }
  } else {
    for (const Step& step : recipe.steps) {
      if (step.kind == "eval") wanted.evals.emplace_back(step.id, step.id);
    }
  }
  if (const Json* pairs = find(section, "comparisons")) {
    for (const Json& pair : *pairs) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
        return fail(Code::Invalid, "`report.comparisons` must list pairs of labels, not {}", to_text(pair));
      }
      wanted.pairs.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
    }
  } else {
    for (size_t i = 1; i < wanted.evals.size(); ++i)
      wanted.pairs.emplace_back(wanted.evals[0].second, wanted.evals[i].second);
  }
  RETORT_ASSIGN(wanted.samples, get_int(section, "samples", 6));
  std::vector<std::string> steps, labels;
  for (const Step& step : recipe.steps) {
    if (step.kind == "eval") steps.push_back(step.id);
  }
  const auto known = [](const std::string& name, const std::vector<std::string>& names, const char* where,
                        const char* what) -> Status {
    if (std::find(names.begin(), names.end(), name) != names.end()) return {};
    const std::string hint = nearest(name, names);
    return fail(Code::Invalid, "`{}` names `{}`, which is no {}; {}", where, name, what,
                !hint.empty()   ? fmt::format("did you mean `{}`?", hint)
                : names.empty() ? "there is none"
                                : fmt::format("there are {}", fmt::join(names, ", ")));
  };
  for (const auto& [step, label] : wanted.evals) {
    RETORT_TRY(known(step, steps, "report.evals", "step of the kind eval"));
    labels.push_back(label);
  }
  for (const auto& [a, b] : wanted.pairs) {
    RETORT_TRY(known(a, labels, "report.comparisons", "label of an evaluation"));
    RETORT_TRY(known(b, labels, "report.comparisons", "label of an evaluation"));
  }
  return wanted;
}

Json accuracy_json(const std::string& task, const eval::Figures& f) {
  Json row = {{"task", task.empty() ? "all" : task},
              {"n", f.prompts},
              {"samples", f.samples},
              {"pass1", f.pass1},
              {"low", f.pass1_interval.low},
              {"high", f.pass1_interval.high}};
  if (f.samples > 1) row["maj"] = f.majority;
  return row;
}

Json eval_json(const Shown& shown) {
  const eval::Summary summary = eval::summarise(shown.scores);
  Json tasks = Json::array();
  for (const auto& [task, figures] : summary.tasks) tasks.push_back(accuracy_json(task, figures));
  return {{"step", shown.step},
          {"label", shown.label},
          {"model", summary.model},
          {"overall", accuracy_json("all", summary.all)},
          {"tasks", tasks},
          {"mean_tokens", summary.all.mean_tokens},
          {"truncated", summary.all.truncated}};
}

Json comparisons_json(const Shown& a, const Shown& b) {
  Json rows = Json::array();
  for (const eval::Comparison& c : eval::compare(a.scores, b.scores)) {
    rows.push_back({{"a", a.label},
                    {"b", b.label},
                    {"task", c.task.empty() ? "all" : c.task},
                    {"n", c.prompts},
                    {"difference", c.difference},
                    {"low", c.interval.low},
                    {"high", c.interval.high},
                    {"p", c.p_value},
                    {"test", c.test},
                    {"only_a", c.only_a},
                    {"only_b", c.only_b}});
  }
  return rows;
}

Json lengths_json(const Shown& shown) {
  int64_t longest = 1;
  for (const Score& score : shown.scores) longest = std::max(longest, score.tokens);
  const int64_t width = (longest + kLengthBins) / kLengthBins;
  std::vector<int64_t> counts(static_cast<size_t>(longest / width) + 1);
  for (const Score& score : shown.scores) ++counts[static_cast<size_t>(score.tokens / width)];
  Json bins = Json::array();
  for (size_t i = 0; i < counts.size(); ++i) {
    const int64_t low = static_cast<int64_t>(i) * width;
    bins.push_back({{"low", low}, {"high", low + width}, {"count", counts[i]}});
  }
  return {{"step", shown.step}, {"label", shown.label}, {"unit", "tokens"}, {"bins", bins}};
}

// The loss curve, thinned to at most kMostLossPoints by averaging neighbours.
Result<Json> training_json(const StepReport& step, const std::string& folder, Env& env) {
  RETORT_ASSIGN(const Json report, read_json(folder + "/train_report.json", env));
  RETORT_ASSIGN(const auto lines, open_lines(folder + "/train_log.jsonl"));
  RETORT_ASSIGN(const std::vector<std::string> rows, read_all(*lines));
  const size_t group = rows.size() / kMostLossPoints + 1;
  Json points = Json::array();
  double loss = 0, tokens = 0;
  size_t in_group = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    RETORT_ASSIGN(const Json row, parse_json(rows[i]));
    RETORT_ASSIGN(const double row_loss, get_double(row, "loss", 0));
    RETORT_ASSIGN(const double row_tokens, get_double(row, "tokens", 0));
    RETORT_ASSIGN(const double lr, get_double(row, "lr", 0));
    loss += row_loss;
    tokens += row_tokens;
    if (++in_group < group && i + 1 < rows.size()) continue;
    points.push_back({{"tokens", tokens}, {"loss", loss / static_cast<double>(in_group)}, {"lr", lr}});
    loss = 0;
    in_group = 0;
  }
  const Json* data = find(report, "data");
  RETORT_ASSIGN(const double examples, get_double(data == nullptr ? Json() : *data, "examples", 0));
  RETORT_ASSIGN(const double cut, get_double(data == nullptr ? Json() : *data, "cut", 0));
  RETORT_ASSIGN(const double parameters, get_double(report, "parameters", 0));
  RETORT_ASSIGN(const double trained_tokens, get_double(report, "tokens", 0));
  RETORT_ASSIGN(const double flops, get_double(report, "flops", 0));
  return Json{{"step", step.id},
              {"label", step.id},
              {"parameters", parameters},
              {"tokens", trained_tokens},
              {"flops", flops},
              {"seconds", step.seconds},
              {"cut_share", examples > 0 ? cut / examples : 0.0},
              {"points", points}};
}

Json cost_json(const std::vector<StepReport>& steps, const std::vector<ledger::StageCost>& costs) {
  Json rows = Json::array();
  for (const StepReport& step : steps) {
    ledger::StageCost cost;
    for (const ledger::StageCost& c : costs) {
      if (c.stage == step.id) cost = c;
    }
    rows.push_back({{"step", step.id},
                    {"kind", step.kind},
                    {"seconds", step.seconds},
                    {"tokens_in", cost.tokens_in},
                    {"tokens_out", cost.tokens_out},
                    {"flops", cost.flops},
                    {"usd_micros", cost.usd_micros},
                    {"possibly_usd_micros", cost.possibly_usd_micros},
                    {"wasted_usd_micros", cost.failed_usd_micros}});
  }
  return rows;
}

Json lineage_json(const Recipe& recipe, const std::vector<StepReport>& steps) {
  Json nodes = Json::array();
  for (const StepReport& report : steps) {
    const auto step =
        std::find_if(recipe.steps.begin(), recipe.steps.end(), [&](const Step& s) { return s.id == report.id; });
    nodes.push_back({{"id", report.id}, {"kind", report.kind}, {"hash", report.output_hash}, {"parents", step->after}});
  }
  return nodes;
}

const Score* first_score(const Shown& shown, const std::string& prompt_id) {
  for (const Score& score : shown.scores) {
    if (score.prompt_id == prompt_id) return &score;
  }
  return nullptr;
}

// Problems to read: turn by turn over the tasks, those that the last model of the first pair solves and the first does
// not, and in every third place one that it fails.
Json samples_json(const std::vector<Shown>& shown, const Wanted& wanted,
                  const std::map<std::string, std::string>& questions) {
  Json samples = Json::array();
  if (shown.empty()) return samples;
  const auto by_label = [&](const std::string& label) {
    for (const Shown& s : shown) {
      if (s.label == label) return &s;
    }
    return &shown.front();
  };
  const Shown* before = wanted.pairs.empty() ? &shown.front() : by_label(wanted.pairs[0].first);
  const Shown* after = wanted.pairs.empty() ? &shown.back() : by_label(wanted.pairs[0].second);
  std::map<std::string, std::vector<const Score*>> gained, failed;
  for (const Score& score : after->scores) {
    if (score.sample != 0) continue;
    const Score* old = first_score(*before, score.prompt_id);
    if (score.correct && old != nullptr && !old->correct) gained[score.task].push_back(&score);
    if (!score.correct) failed[score.task].push_back(&score);
  }
  std::set<std::string> used;
  const auto take = [&](std::map<std::string, std::vector<const Score*>>& from) -> const Score* {
    const std::vector<const Score*>* best = nullptr;
    size_t least = SIZE_MAX;
    for (const auto& [task, scores] : from) {
      size_t seen = 0;
      for (const Score* s : scores) seen += used.contains(s->prompt_id) ? 1 : 0;
      if (seen < scores.size() && seen < least) least = seen, best = &scores;
    }
    if (best == nullptr) return nullptr;
    for (const Score* s : *best) {
      if (used.insert(s->prompt_id).second) return s;
    }
    return nullptr;
  };
  for (int64_t i = 0; i < wanted.samples; ++i) {
    const Score* chosen = i % 3 == 2 ? take(failed) : take(gained);
    if (chosen == nullptr) chosen = take(i % 3 == 2 ? gained : failed);
    if (chosen == nullptr) break;
    Json answers = Json::array();
    for (const Shown& s : shown) {
      if (const Score* score = first_score(s, chosen->prompt_id)) {
        answers.push_back({{"label", s.label},
                           {"reasoning", score->reasoning},
                           {"content", score->content},
                           {"pred", score->pred},
                           {"correct", score->correct}});
      }
    }
    const auto question = questions.find(chosen->prompt_id);
    samples.push_back({{"task", chosen->task},
                       {"prompt", question == questions.end() ? chosen->prompt_id : question->second},
                       {"gold", chosen->gold},
                       {"answers", answers}});
  }
  return samples;
}

// What two evaluations asked differently, as "max_tokens 40 and 60": their figures then differ for that, too.
Result<Json> differences_json(const Recipe& recipe, const std::string& a, const std::string& b) {
  const auto asked = [&](const std::string& step) -> Result<Json> {
    eval::Options options;
    const auto at = std::find_if(recipe.steps.begin(), recipe.steps.end(), [&](const Step& s) { return s.id == step; });
    if (at == recipe.steps.end()) return dump_options(options);
    std::vector<OptionField> fields;
    list_options(options, fields);
    Json given = Json::object();
    for (const OptionField& field : fields)
      if (const Json* value = find(at->options, field.path)) given[field.path] = *value;
    RETORT_TRY(load_options(options, given));
    Json all = dump_options(options);
    all.erase("concurrency");
    all.erase("retries");
    return all;
  };
  RETORT_ASSIGN(const Json left, asked(a));
  RETORT_ASSIGN(const Json right, asked(b));
  Json out = Json::array();
  for (const auto& [name, value] : left.items())
    if (value != right[name]) out.push_back(fmt::format("{} {} and {}", name, to_text(value), to_text(right[name])));
  return out;
}

// Some rejects of each step and reason, with their texts.
Result<Json> rejects_json(const std::string& step, const std::string& path, Env& env) {
  ShowOptions options;
  options.limit = 0;
  options.each = kRejectsEach;
  RETORT_ASSIGN(const ShownFile shown, read_shown(path, options, env));
  const auto clipped = [](const std::string& text) {
    if (text.size() <= kMostRejectBytes) return text;
    return text.substr(0, utf8_complete_prefix(std::string_view(text).substr(0, kMostRejectBytes))) + " ...";
  };
  Json rows = Json::array();
  for (const auto& [reason, count] : shown.reasons) {
    Json records = Json::array();
    for (const ShownRecord& record : shown.records) {
      if (record.reason != reason) continue;
      records.push_back({{"id", record.id},
                         {"detail", clipped(record.detail)},
                         {"question", clipped(record.question)},
                         {"gold", clipped(record.reference)},
                         {"reasoning", clipped(record.thought)},
                         {"content", clipped(record.answer)}});
    }
    rows.push_back({{"step", step}, {"reason", reason}, {"count", count}, {"records", records}});
  }
  return rows;
}

}  // namespace

Status check_report(const Recipe& recipe) {
  auto wanted = read_wanted(recipe);
  return wanted.ok() ? Status() : Status(within(recipe.path, std::move(wanted).error()));
}

Result<Json> gather_report(const Recipe& recipe, const std::vector<StepReport>& steps, const std::string& out, Json run,
                           Env& env) {
  RETORT_ASSIGN(const Wanted wanted, read_wanted(recipe));
  std::vector<Shown> shown;
  std::map<std::string, std::string> questions;  // prompt id -> last message, for the samples
  Json evals = Json::array(), comparisons = Json::array(), lengths = Json::array();
  for (const auto& [step, label] : wanted.evals) {
    const std::string folder = out + "/" + step;
    auto scores = read_records<Score>(folder + "/scores.jsonl");
    if (!scores.ok()) return within(fmt::format("the report's eval `{}`", label), std::move(scores).error());
    shown.push_back({step, label, std::move(*scores)});
    evals.push_back(eval_json(shown.back()));
    lengths.push_back(lengths_json(shown.back()));
    if (const auto asked = read_json(folder + "/questions.json", env); asked.ok()) {
      for (const auto& [id, text] : asked->items()) questions[id] = text.is_string() ? text.get<std::string>() : "";
    }
  }
  for (const auto& [a, b] : wanted.pairs) {
    const auto at = [&](const std::string& label) {
      return std::find_if(shown.begin(), shown.end(), [&](const Shown& s) { return s.label == label; });
    };
    if (at(a) == shown.end() || at(b) == shown.end()) {
      return fail(Code::Invalid, "`report.comparisons` names `{}`, which is no label of `report.evals`",
                  at(a) == shown.end() ? a : b);
    }
    RETORT_ASSIGN(const Json differs, differences_json(recipe, at(a)->step, at(b)->step));
    for (Json& row : comparisons_json(*at(a), *at(b))) {
      if (!differs.empty()) row["differs"] = differs;
      comparisons.push_back(std::move(row));
    }
  }
  Json training = Json::array(), selections = Json::array(), rejects = Json::array();
  for (const StepReport& step : steps) {
    const std::string folder = out + "/" + step.id;
    if (step.kind == "train") {
      RETORT_ASSIGN(Json row, training_json(step, folder, env));
      training.push_back(std::move(row));
    }
    if (env.exists(folder + "/tally.json")) {
      RETORT_ASSIGN(const Json json, read_json(folder + "/tally.json", env));
      Tally tally;
      RETORT_TRY(decode(json, tally));
      selections.push_back({{"step", step.id},
                            {"in", tally.in},
                            {"kept", tally.kept},
                            {"dropped", tally.dropped},
                            {"reasons", tally.reasons},
                            {"counts", tally.counts}});
    }
  }
  for (const StepReport& step : steps) {
    const std::string path = out + "/" + step.id + "/rejects.jsonl";
    if (!env.exists(path)) continue;
    RETORT_ASSIGN(Json rows, rejects_json(step.id, path, env));
    for (Json& row : rows) rejects.push_back(std::move(row));
  }
  std::vector<ledger::CostRow> costs;
  if (env.exists(out + "/costs.jsonl")) {
    RETORT_ASSIGN(costs, ledger::read_costs(out + "/costs.jsonl", env));
  }
  return Json{{"version", kVersion},
              {"name", recipe.name},
              {"title", recipe.title},
              {"program", std::string("retort ") + RETORT_VERSION},
              {"evals", evals},
              {"comparisons", comparisons},
              {"training", training},
              {"lengths", lengths},
              {"selections", selections},
              {"rejects", rejects},
              {"cost", cost_json(steps, ledger::by_stage(costs))},
              {"lineage", lineage_json(recipe, steps)},
              {"samples", samples_json(shown, wanted, questions)},
              {"run", std::move(run)}};
}

Status write_report(const Json& report, const std::string& out, Env& env) {
  RETORT_TRY(env.write_file(out + "/report.json", report.dump(1) + "\n"));
  return env.write_file(out + "/report.html", fill_report_page(report));
}

std::string report_text(const Json& report) {
  std::string out =
      fmt::format("{:<24} {:>8} {:>9} {:>18} {:>8}\n", "model", "problems", "pass@1", "95 % interval", "tokens");
  for (const Json& e : report["evals"]) {
    const Json& o = e["overall"];
    out += fmt::format("{:<24} {:>8} {:>7.1f} % {:>7.1f} to {:>5.1f} % {:>8.1f}\n", e["label"].get<std::string>(),
                       o["n"].get<int64_t>(), 100 * o["pass1"].get<double>(), 100 * o["low"].get<double>(),
                       100 * o["high"].get<double>(), e["mean_tokens"].get<double>());
  }
  for (const Json& c : report["comparisons"]) {
    if (c["task"] != "all") continue;
    out += fmt::format("{} -> {}: {:+.1f} points [{:+.1f}, {:+.1f}], {} test p = {:.2g}\n", c["a"].get<std::string>(),
                       c["b"].get<std::string>(), 100 * c["difference"].get<double>(), 100 * c["low"].get<double>(),
                       100 * c["high"].get<double>(), c["test"].get<std::string>(), c["p"].get<double>());
  }
  double seconds = 0;
  UsdMicros micros;
  for (const Json& row : report["cost"]) {
    seconds += row["seconds"].get<double>();
    micros += row["usd_micros"].get<int64_t>();
  }
  return out + fmt::format("{} in all, {} paid", format_duration(seconds), format_usd(micros));
}

}  // namespace retort::app
