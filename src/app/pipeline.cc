#include "app/pipeline.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "app/step_book.h"
#include "app/unfinished.h"
#include "base/log.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/text.h"

namespace retort::app {
namespace {

constexpr const char *kRunMark = "run", *kStepMark = "step";  // who made a folder, in its mark

// The value at a dotted name, or nullptr.
Json* at_path(Json& root, std::string_view dotted) {
  Json* at = &root;
  for (const std::string_view part : split(dotted, '.')) {
    if (!at->is_object() || !at->contains(std::string(part))) return nullptr;
    at = &(*at)[std::string(part)];
  }
  return at;
}

bool is_step_reference(const std::string& text) { return text.find("${") != std::string::npos; }

// A path as written in a recipe to one that can be opened: steps' folders filled in, others relative to the recipe.
std::string resolve(const std::string& written, const Recipe& recipe, const std::string& out) {
  if (written.empty()) return written;
  if (is_step_reference(written)) return resolve_steps(written, recipe, out);
  if (written.front() == '/') return written;
  return (std::filesystem::path(recipe.folder) / written).lexically_normal().string();
}

// Whether the option is given and its value names a file or folder.
bool names_file(const OptionField& field, const Json& options) {
  Json copy = options;
  const Json* value = field.about.path ? at_path(copy, field.path) : nullptr;
  if (value == nullptr || (!field.about.no_path.empty() && *value == field.about.no_path)) return false;
  const Json* other = field.about.or_name.empty() ? nullptr : at_path(copy, field.about.or_name);
  return other == nullptr || *other == "";
}

Json resolve_options(const StepKind& kind, const Json& options, const Recipe& recipe, const std::string& out) {
  Json resolved = options;
  for (const OptionField& field : kind.options) {
    if (!names_file(field, options)) continue;
    Json* value = at_path(resolved, field.path);
    if (value->is_string()) {
      *value = resolve(value->get<std::string>(), recipe, out);
    } else if (value->is_array()) {
      for (Json& item : *value) {
        if (item.is_string()) item = resolve(item.get<std::string>(), recipe, out);
      }
    }
  }
  return resolved;
}

// The options that decide what the step makes.
Json without_how(const StepKind& kind, const Json& options) {
  Json kept = options;
  for (const OptionField& field : kind.options) {
    if (!field.about.how) continue;
    const size_t dot = field.path.rfind('.');
    Json* parent = dot == std::string::npos ? &kept : at_path(kept, std::string_view(field.path).substr(0, dot));
    if (parent != nullptr && parent->is_object())
      parent->erase(field.path.substr(dot == std::string::npos ? 0 : dot + 1));
  }
  return kept;
}

// Books what an unfinished step used whose work is about to be thrown away.
Status book_abandoned(const StepContext& context) {
  RETORT_ASSIGN(auto row, unfinished_row(context.out, context.env));
  if (!row) return {};
  const std::string book = context.run_folder + "/costs.jsonl";
  if (context.env.exists(book)) {
    RETORT_ASSIGN(const auto rows, ledger::read_costs(book, context.env));
    // It may have died between booking and its stamp.
    if (std::any_of(rows.begin(), rows.end(), [&](const auto& r) { return r.run == row->run; })) return {};
  }
  row->state = "failed";
  return ledger::append_costs(book, {*row}, context.env);
}

// Readies a step's folder and returns its work folder, held. A step that has finished (it has a stamp) or whose claim
// is for other options or inputs starts clean, but for what its kind keeps or sets aside; an unfinished one for the
// same ones goes on with what it left. What retort did not write there stops it before anything goes. The claim is the
// first to go and the last to come, so that a folder that was only half cleaned is cleaned again.
Result<Folder> ready_folder(const StepKind& kind, const StepContext& context, const StampInputs& now,
                            const Folder& folder) {
  Env& env = context.env;
  RETORT_TRY(folder.survey());
  RETORT_ASSIGN(Folder work, Folder::hold(context.work, kStepMark, env));
  const std::string claim = context.work + "/claim.json";
  const std::string claimed = to_text({{"kind", now.kind}, {"options", now.options}, {"inputs", now.inputs}});
  const auto before = env.read_file(claim);
  if (before.ok() && *before == claimed && !env.exists(context.out + "/" + kStampName)) return work;
  RETORT_TRY(book_abandoned(context));
  for (const std::string& name : kind.set_aside) {
    const auto mark = read_mark(context.work + "/" + name);
    if (!mark.ok()) continue;
    RETORT_ASSIGN(Folder unfinished, Folder::hold(context.work + "/" + name, mark->by, env));
    RETORT_ASSIGN(const std::string aside, unfinished.set_aside());
    log::warn("{}: unfinished work for other options or inputs was set aside in {}", context.id, aside);
  }
  RETORT_TRY(remove_made(claim, env));
  RETORT_TRY(remove_made(context.out + "/" + kStampName, env));
  const std::string prefix = std::string(kWorkFolder) + "/";
  RETORT_TRY(folder.clear([&](const std::string& path) {
    const auto starts = [&](const std::string& name) { return path.starts_with(prefix + name); };
    return std::any_of(kind.keep.begin(), kind.keep.end(), starts) ||
           std::any_of(kind.set_aside.begin(), kind.set_aside.end(), starts);
  }));
  RETORT_ASSIGN(work, Folder::hold(context.work, kStepMark, env));
  RETORT_TRY(env.write_file(claim, claimed));
  return work;
}

}  // namespace

std::vector<std::string> path_values(const StepKind& kind, const Json& options) {
  std::vector<std::string> values;
  Json copy = options;
  for (const OptionField& field : kind.options) {
    if (!names_file(field, options)) continue;
    const Json* value = at_path(copy, field.path);
    if (value->is_string() && !value->get_ref<const std::string&>().empty())
      values.push_back(value->get<std::string>());
    if (value->is_array()) {
      for (const Json& item : *value) {
        if (item.is_string()) values.push_back(item.get<std::string>());
      }
    }
  }
  return values;
}

namespace {

// A path that begins with a step's folder must name something that the step writes.
Status check_reference(const std::string& path, const Recipe& recipe,
                       const std::function<const StepKind*(const std::string&)>& kinds) {
  for (const Step& step : recipe.steps) {
    const std::string start = "${" + step.id + "}";
    const StepKind* kind = kinds(step.kind);
    if (!path.starts_with(start) || kind == nullptr || kind->outputs.empty()) continue;
    const std::string rest = path.substr(std::min(path.size(), start.size() + 1));
    const auto below = [&](const std::string& name) { return rest == name || rest.starts_with(name + "/"); };
    if (rest.empty() || std::any_of(kind->outputs.begin(), kind->outputs.end(), below)) return {};
    const std::string hint = nearest(rest, kind->outputs);
    return fail(Code::Invalid, "{} is nothing that step `{}` ({}) writes; {}", path, step.id, step.kind,
                hint.empty() ? fmt::format("it writes {}", fmt::join(kind->outputs, ", "))
                             : fmt::format("did you mean {}/{}?", start, hint));
  }
  return {};
}

}  // namespace

Status check_recipe(const Recipe& recipe, const std::string& out,
                    const std::function<const StepKind*(const std::string&)>& kinds, Env& env) {
  for (const Step& step : recipe.steps) {
    const StepKind* kind = kinds(step.kind);
    if (kind == nullptr) {
      std::vector<std::string> names;
      for (const StepKind& k : step_kinds()) names.emplace_back(k.name);
      const std::string hint = nearest(step.kind, names);
      return fail(Code::Invalid, "{}: step `{}`: there is no kind `{}`{}", recipe.path, step.id, step.kind,
                  hint.empty() ? fmt::format("; there are {}", fmt::join(names, ", "))
                               : fmt::format("; did you mean `{}`?", hint));
    }
    const auto check = [&]() -> Status {
      const Json resolved = resolve_options(*kind, step.options, recipe, out);
      const std::vector<std::string> paths = path_values(*kind, step.options);
      for (const std::string& path : paths) RETORT_TRY(check_reference(path, recipe, kinds));
      for (const std::string& path : paths) {
        if (!is_step_reference(path) && !env.exists(resolve(path, recipe, out)))
          return fail(Code::NotFound, "it reads {}, which does not exist", resolve(path, recipe, out));
      }
      return kind->check(resolved, env);
    };
    if (auto status = check(); !status.ok())
      return within(fmt::format("{}: step `{}`", recipe.path, step.id), std::move(status).error());
  }
  return {};
}

Result<std::vector<StepReport>> run_pipeline(const Recipe& recipe, const PipelineOptions& options,
                                             const std::function<const StepKind*(const std::string&)>& kinds, Env& env,
                                             const Cancel& cancel) {
  RETORT_TRY(check_recipe(recipe, options.out, kinds, env));

  Folder held;
  std::map<std::string, Folder> folders;
  if (!options.dry_run) {
    RETORT_ASSIGN(held, Folder::hold(options.out, kRunMark, env));
    for (const Step& step : recipe.steps) {
      RETORT_ASSIGN(folders[step.id], Folder::hold(options.out + "/" + step.id, kStepMark, env));
    }
  }

  std::optional<StepBook> book;
  if (!options.dry_run) {
    RETORT_ASSIGN(book, StepBook::open(options.out, env));
  }
  std::vector<StepReport> reports;
  std::map<std::string, Expected> expected;    // dry run: what the steps so far would write
  std::map<std::string, std::string> outputs;  // step id -> output hash; "" where a dry run does not know it
  int number = 0;
  for (const Step& step : recipe.steps) {
    ++number;
    const StepKind& kind = *kinds(step.kind);
    const std::string folder = options.out + "/" + step.id;
    StepReport report{step.id, step.kind, false, {}, 0, "", {}};

    StampInputs now{fmt::format("{}/{}", kind.name, kind.version), without_how(kind, step.options), {}};
    bool unknown_input = false;
    for (const std::string& written : path_values(kind, now.options)) {
      if (now.inputs.contains(written)) continue;
      std::string hash;
      const auto owner = std::find_if(step.after.begin(), step.after.end(),
                                      [&](const std::string& id) { return written.find("${" + id + "}") == 0; });
      if (owner != step.after.end() && outputs[*owner].empty()) {
        unknown_input = true;
        report.reasons.push_back(fmt::format("step {} before it runs", *owner));
        continue;
      }
      RETORT_ASSIGN(hash, content_hash(resolve(written, recipe, options.out), env));
      now.inputs[written] = hash;
    }
    for (const std::string& id : step.after) {
      // Every step referred to counts, even by an option that is no path (a served model's name).
      if (outputs[id].empty()) unknown_input = true;
    }

    auto stamp = read_stamp(folder, env);
    if (!stamp.ok() && stamp.error().code != Code::NotFound) report.reasons.push_back(stamp.error().message);
    if (!unknown_input) {
      for (std::string& reason : reasons_to_run(stamp.ok() ? &*stamp : nullptr, now, folder, env)) {
        report.reasons.push_back(std::move(reason));
      }
    }
    const bool fits = stamp.ok() && report.reasons.empty() && !unknown_input;
    if (options.explain || options.dry_run) {
      for (const std::string& reason : report.reasons) log::info("{} runs: {}", step.id, reason);
      if (fits) log::info("{} is up to date", step.id);
    }
    if (fits) {
      if (book) RETORT_TRY(book->note(step, *stamp, env));
      report.seconds = stamp->seconds;
      report.output_hash = stamp->output_hash;
      outputs[step.id] = stamp->output_hash;
      reports.push_back(std::move(report));
      continue;
    }

    StepContext context{env,
                        cancel,
                        options.out,
                        step.id,
                        folder,
                        folder + "/" + kWorkFolder,
                        resolve_options(kind, step.options, recipe, options.out)};
    if (options.dry_run) {
      context.expected = expected;
      RETORT_ASSIGN(report.forecast, kind.forecast(context));
      for (const auto& [name, what] : report.forecast.outputs)
        expected[name.empty() ? folder : folder + "/" + name] = what;
      report.ran = true;
      outputs[step.id] = "";
      reports.push_back(std::move(report));
      continue;
    }

    log::info("[{}/{}] {} ({})", number, recipe.steps.size(), step.id, step.kind);
    if (cancel.requested()) return fail(Code::Cancelled, "stopped before step `{}`", step.id);
    RETORT_ASSIGN(const Folder work, ready_folder(kind, context, now, folders[step.id]));
    RETORT_ASSIGN(auto clock, StepClock::start(context.work, env));
    context.clock = clock.get();
    if (Status status = kind.run(context); !status.ok())
      return within(fmt::format("step `{}`", step.id), std::move(status).error());
    const double seconds = clock->seconds();
    if (!kind.books) {
      const ledger::CostRow row{
          .stage = step.id, .run = step.id + "/" + clock->run(), .what = kind.name, .seconds = seconds};
      RETORT_TRY(ledger::append_costs(options.out + "/costs.jsonl", {row}, env));
    }
    clock.reset();

    Stamp fresh;
    fresh.made_of = std::move(now);
    RETORT_ASSIGN(fresh.files, list_output(folder, env));
    fresh.output_hash = output_hash(fresh.files);
    fresh.seconds = seconds;
    RETORT_TRY(write_stamp(folder, fresh, env));
    std::vector<std::pair<std::string, std::string>> sealed;
    for (const StampFile& file : fresh.files) sealed.emplace_back(file.path, file.hash);
    RETORT_TRY(folders[step.id].seal(sealed));
    RETORT_TRY(book->note(step, fresh, env));
    report.ran = true;
    report.seconds = seconds;
    report.output_hash = fresh.output_hash;
    outputs[step.id] = fresh.output_hash;
    reports.push_back(std::move(report));
  }
  if (options.hand_on != nullptr) *options.hand_on = std::move(held);
  return reports;
}

}  // namespace retort::app
