#include "app/pipeline.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "app/step_book.h"
#include "app/unfinished.h"
#include "base/log.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/text.h"

namespace retort::app {
namespace {

class FolderLock {
 public:
  FolderLock() = default;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  Status take(const std::string& folder) {
    const std::string path = folder + "/lock";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) return fail(Code::Io, "cannot open {}: {}", path, std::strerror(errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      return fail(Code::Unavailable, "another run works in {}; wait for it or give another --out", folder);
    }
    return {};
  }

 private:
  int fd_ = -1;
};

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

// What a write that a kill cut short leaves beside the file it was for: NAME.part, NAME.tmp-<12 hexadecimal digits>.
bool is_leftover(const std::string& name) {
  if (name.ends_with(".part")) return true;
  constexpr std::string_view kMark = ".tmp-";
  constexpr size_t kDigits = 12;
  return name.size() > kMark.size() + kDigits && name.substr(name.size() - kMark.size() - kDigits).starts_with(kMark) &&
         name.find_first_not_of("0123456789abcdef", name.size() - kDigits) == std::string::npos;
}

// Removes leftovers from a folder (and those below it), so that they never become part of an output.
Status sweep(const std::string& folder, bool deep, Env& env) {
  RETORT_ASSIGN(const std::vector<std::string> names, env.list_directory(folder));
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    if (env.is_directory(path)) {
      if (deep) RETORT_TRY(sweep(path, deep, env));
    } else if (is_leftover(name)) {
      RETORT_TRY(env.remove_all(path));
    }
  }
  return {};
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

// Readies a step's folder. A step that has finished (it has a stamp) or whose claim is for other options or inputs
// starts clean, but for what its kind keeps; an unfinished one for the same ones goes on with what it left. The claim
// is the first to go and the last to come, so that a folder that was only half cleaned is cleaned again.
Status ready_folder(const StepKind& kind, const StepContext& context, const StampInputs& now) {
  Env& env = context.env;
  const std::string claim = context.work + "/claim.json";
  const std::string claimed = to_text({{"kind", now.kind}, {"options", now.options}, {"inputs", now.inputs}});
  const auto before = env.read_file(claim);
  if (before.ok() && *before == claimed && !env.exists(context.out + "/" + kStampName)) {
    return sweep(context.out, true, env);
  }
  RETORT_TRY(book_abandoned(context));
  RETORT_TRY(env.remove_all(claim));
  RETORT_TRY(env.remove_all(context.out + "/" + kStampName));
  RETORT_TRY(env.make_directories(context.work));
  RETORT_ASSIGN(const std::vector<std::string> made, env.list_directory(context.out));
  for (const std::string& name : made) {
    if (name != kWorkFolder) RETORT_TRY(env.remove_all(context.out + "/" + name));
  }
  RETORT_ASSIGN(const std::vector<std::string> worked, env.list_directory(context.work));
  for (const std::string& name : worked) {
    const bool kept = std::any_of(kind.keep.begin(), kind.keep.end(),
                                  [&](const std::string& start) { return name.starts_with(start); });
    if (!kept) RETORT_TRY(env.remove_all(context.work + "/" + name));
  }
  return env.write_file(claim, claimed);
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

  FolderLock lock;
  if (!options.dry_run) {
    RETORT_TRY(env.make_directories(options.out));
    RETORT_TRY(lock.take(options.out));
    RETORT_TRY(sweep(options.out, false, env));
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
    RETORT_TRY(ready_folder(kind, context, now));
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
    RETORT_TRY(book->note(step, fresh, env));
    report.ran = true;
    report.seconds = seconds;
    report.output_hash = fresh.output_hash;
    outputs[step.id] = fresh.output_hash;
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace retort::app
