#include "app/train_files.h"

#include <filesystem>
#include <map>

#include "app/eval_files.h"
#include "app/model_card.h"
#include "base/folder.h"
#include "base/hash.h"
#include "base/options.h"
#include "model/model.h"
#include "record/stream.h"
#include "record/tally.h"

namespace retort::app {
namespace {

// "; curation dropped 12 wrong_answer, 3 truncated", from the tally beside a file of examples; "" where there is none.
std::string why_none(const std::string& examples, Env& env) {
  const std::filesystem::path path = std::filesystem::path(examples).parent_path() / "tally.json";
  const auto text = env.read_file(path.string());
  const auto json = text.ok() ? parse_json(*text) : Result<Json>(text.error());
  Tally tally;
  if (!json.ok() || !decode(*json, tally).ok()) return "";
  return fmt::format("; of {} traces curation kept {} (dropped: {})", tally.in, tally.kept, reasons_text(tally));
}

Json counts_json(const std::map<std::string, int64_t>& counts) {
  Json out = Json::object();
  for (const auto& [name, count] : counts) out[name] = count;
  return out;
}

}  // namespace

Result<Json> provenance_part(const std::string& given, Env& env) {
  if (given.empty()) return Json();
  bool is_model = false;
  std::string path = given, name = std::filesystem::path(given).filename().string();
  if (const auto model = model::resolve_model(given); model.ok()) {
    path = model->path;
    name = model->name;
    is_model = true;
  }
  Json part = {{"name", name}};
  RETORT_ASSIGN(part["sha256"], weights_identity(path, env));
  std::string licence;
  if (is_model) {
    RETORT_ASSIGN(licence, stated_licence(path, env));
  }
  if (!licence.empty()) part["licence"] = licence;
  if (const std::string record = path + "/" + kModelProvenance; env.exists(record)) {
    RETORT_ASSIGN(const std::string text, env.read_file(record));
    auto json = parse_json(text);
    if (!json.ok()) return within(record, std::move(json).error());
    part["provenance"] = *json;
  }
  return part;
}

Result<Json> model_provenance(const train::Options& options, const train::Task& task, const std::string& examples,
                              Env& env) {
  std::map<std::string, int64_t> how, tasks;
  std::map<std::pair<std::string, std::string>, int64_t> teachers;  // name and permission
  int64_t records = 0;
  RETORT_ASSIGN(const auto source, open_jsonl<Example>(examples));
  for (;;) {
    RETORT_ASSIGN(const std::optional<Example> example, source->next());
    if (!example) break;
    ++records;
    ++how[example->how];
    ++tasks[example->task];
    ++teachers[{example->teacher, example->permission_hash}];
  }
  if (records == 0)
    return fail(Code::Invalid, "{} holds no example to learn from{}; see the rejects.jsonl of the steps before",
                examples, why_none(examples, env));
  Json data = {{"records", records}, {"vouched_by", counts_json(how)}, {"tasks", counts_json(tasks)}};
  RETORT_ASSIGN(data["sha256"], sha256_file(examples));
  data["teachers"] = Json::array();
  for (const auto& [teacher, count] : teachers)
    data["teachers"].push_back({{"teacher", teacher.first}, {"permission_hash", teacher.second}, {"examples", count}});
  Json out = {{"retort", "model provenance"},
              {"version", 1},
              {"program", std::string("retort ") + RETORT_VERSION},
              {"method", options.method},
              {"options_hash", options_hash(options)},
              {"chat_template", {{"date", options.date}, {"variables", options.template_variables}}},
              {"examples", data}};
  RETORT_ASSIGN(out["base"], provenance_part(task.base, env));
  RETORT_ASSIGN(out["tokenizer"], provenance_part(task.tokenizer, env));
  return out;
}

Status TrainJob::check(Env&) const {
  RETORT_TRY(train::check(options));
  if (from_scratch == !base.empty())
    return fail(Code::Invalid, "give either `base` or `from_scratch`, where the student starts");
  if (!from_scratch && !tokenizer.empty())
    return fail(Code::Invalid, "`tokenizer` is of a student from scratch; leave it out, {} brings its own", base);
  if (from_scratch && options.method == "lora")
    return fail(Code::Invalid, "`method` lora needs a base model; give `base`, or choose full");
  return {};
}

Result<Json> read_train_report(const std::string& folder, Env& env) {
  RETORT_ASSIGN(const std::string text, env.read_file(folder + "/train_report.json"));
  return parse_json(text);
}

Result<train::Report> train_files(const TrainJob& job, const JobPlace& place, bool replace,
                                  const std::function<void(const train::Snapshot&)>& watch, Env& env) {
  train::Options options = job.options;
  if (!job.flops_of.empty()) {
    auto report = read_train_report(job.flops_of, env);
    if (!report.ok()) return within("`flops_of`", std::move(report).error());
    RETORT_ASSIGN(options.max_flops, get_double(*report, "flops", 0));
    if (!(options.max_flops > 0))
      return fail(Code::Invalid, "`flops_of`: {}/train_report.json names no `flops`; train that model anew",
                  job.flops_of);
  }
  train::Task task;
  task.base = job.base;
  task.tokenizer = job.tokenizer;
  task.out = place.out;
  task.replace = replace;
  // Held before hours of anything: of two trainings with one --out the second ends here.
  RETORT_ASSIGN(const Folder workspace, train::hold_workspace(task, env));
  RETORT_ASSIGN(const Json provenance, model_provenance(options, task, job.examples, env));
  task.extra_files.emplace_back(kModelProvenance, provenance.dump(1) + "\n");
  RETORT_ASSIGN(const auto source, open_jsonl<Example>(job.examples));
  return train::run(options, task, *source, watch, env, place.cancel);
}

}  // namespace retort::app
