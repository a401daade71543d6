// retort run: a recipe from its first step to its report.
#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <sys/utsname.h>

#include "app/command.h"
#include "app/pipeline.h"
#include "app/recipe.h"
#include "app/report.h"
#include "app/say.h"
#include "base/cancel.h"
#include "base/env.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/task_pool.h"

namespace retort::app {
namespace {

struct RunArguments {
  std::string recipe, out;
  std::vector<std::string> sets;
  bool explain = false, dry_run = false, json = false;
};

std::string machine_name() {
  std::string cpu;
  if (const auto text = system_env().read_file("/proc/cpuinfo"); text.ok()) {
    const size_t at = text->find("model name");
    const size_t colon = text->find(": ", at);
    if (at != std::string::npos && colon != std::string::npos)
      cpu = text->substr(colon + 2, text->find('\n', colon) - colon - 2);
  }
  utsname info{};
  ::uname(&info);
  return cpu.empty() ? info.machine : cpu;
}

void print_forecast(const std::vector<StepReport>& steps) {
  double seconds = 0, low = 0, high = 0;
  UsdMicros usd = 0;
  // From short answers on a free machine to long ones on one as busy as now.
  const auto range = [](double least, double most) {
    const std::string from = format_duration(least), to = format_duration(most);
    return from == to ? from : from + " to " + to;
  };
  say("{:<16} {:<10} {:>20} {:>10} {:>12}  {}\n", "step", "kind", "time", "tokens", "cost", "reckoned from");
  for (const StepReport& step : steps) {
    if (!step.ran) {
      say("{:<16} {:<10} {:>20}\n", step.id, step.kind, "done");
      continue;
    }
    const Forecast& f = step.forecast;
    seconds += f.seconds;
    low += f.high > 0 ? f.low : f.seconds;
    high += f.high > 0 ? f.high : f.seconds;
    usd += step.forecast.usd_micros;
    say("{:<16} {:<10} {:>20} {:>10} {:>12}  {}\n", step.id, step.kind,
        f.high > 0 ? range(f.low, f.high) : format_duration(f.seconds),
        format_count(static_cast<double>(step.forecast.tokens)), format_usd(step.forecast.usd_micros),
        step.forecast.basis);
  }
  constexpr double kLong = 12 * 3600;
  for (const StepReport& step : steps) {
    if (step.ran && step.forecast.seconds > kLong)
      log::warn("{} is reckoned to take {}: see whether its counts and lengths ({}) are what you mean", step.id,
                format_duration(step.forecast.seconds), step.forecast.basis);
  }
  say("{:<16} {:<10} {:>20} {:>10} {:>12}  about {}\n", "all", "", range(low, high), "", format_usd(usd),
      format_duration(seconds));
}

// The options of a step kind, for `retort run --help KIND`.
std::string kind_help(const StepKind& kind) {
  std::string text = fmt::format(
      "A step `<name>: {{do: {}, ...}}` of a recipe takes these keys, and `retort {}` the same as flags.\n"
      "A dot stands for a map within: `a.b` is `a: {{b: ...}}`. Paths start at the recipe's folder; "
      "`${{step}}/file` is another step's.\n\n",
      kind.name, kind.name);
  for (const OptionField& field : kind.options)
    text += fmt::format("  {:<28} {}\n  {:<28} {}\n", field.path, type_of(field), "", help_of(field));
  if (!kind.outputs.empty()) text += fmt::format("\nIt writes {}.\n", fmt::join(kind.outputs, ", "));
  return text;
}

Json forecast_json(const std::vector<StepReport>& steps) {
  Json rows = Json::array();
  for (const StepReport& step : steps) {
    rows.push_back({{"step", step.id},
                    {"kind", step.kind},
                    {"runs", step.ran},
                    {"reasons", step.reasons},
                    {"seconds", step.forecast.seconds},
                    {"seconds_low", step.forecast.high > 0 ? step.forecast.low : step.forecast.seconds},
                    {"seconds_high", step.forecast.high > 0 ? step.forecast.high : step.forecast.seconds},
                    {"tokens", step.forecast.tokens},
                    {"usd_micros", step.forecast.usd_micros},
                    {"basis", step.forecast.basis}});
  }
  return rows;
}

Result<int> run_recipe(const RunArguments& arguments) {
  Env& env = system_env();
  RETORT_ASSIGN(const Recipe recipe, read_recipe(arguments.recipe, arguments.sets, env));
  RETORT_TRY(check_report(recipe));
  PipelineOptions options;
  options.out = arguments.out.empty() ? "out/" + recipe.name : arguments.out;
  options.dry_run = arguments.dry_run;
  options.explain = arguments.explain;
  Folder folder;
  options.hand_on = &folder;
  const int64_t started = env.wall_us();
  auto steps = run_pipeline(recipe, options, find_kind, env, process_cancel());
  if (!steps.ok()) {
    if (steps.error().code == Code::Cancelled) {
      log::debug("{}", steps.error().message);
      return fail(Code::Cancelled, "stopped; the same command goes on from here");
    }
    return std::move(steps).error();
  }
  if (arguments.dry_run) {
    if (arguments.json)
      say("{}\n", to_text(forecast_json(*steps)));
    else
      print_forecast(*steps);
    return 0;
  }
  double seconds = 0;
  for (const StepReport& step : *steps) seconds += step.seconds;
  Json run = {{"started", utc_time(started)},
              {"finished", utc_time(env.wall_us())},
              {"seconds", seconds},
              {"machine", machine_name()},
              {"threads", available_threads()}};
  // Where nothing ran, the report stays what it was: of the run that did the work.
  if (std::none_of(steps->begin(), steps->end(), [](const StepReport& step) { return step.ran; })) {
    if (const auto text = env.read_file(options.out + "/report.json"); text.ok()) {
      const auto before = parse_json(*text);
      if (before.ok() && find(*before, "run") != nullptr) run = *find(*before, "run");
    }
  }
  RETORT_ASSIGN(const Json report, gather_report(recipe, *steps, options.out, std::move(run), env));
  RETORT_TRY(write_report(report, options.out, env));
  if (arguments.json)
    say("{}\n", to_text(report));
  else
    say("{}\nreport: {}/report.html\n", report_text(report), options.out);
  return 0;
}

}  // namespace

std::optional<std::string> help_about(const std::string& verb, const std::string& word) {
  const StepKind* kind = verb == "run" ? find_kind(word) : nullptr;
  return kind == nullptr ? std::optional<std::string>() : kind_help(*kind);
}

Command run_command() {
  return {"run", "run a recipe: every step that is not up to date, then the report",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto arguments = std::make_shared<RunArguments>();
            cli.add_option("recipe", arguments->recipe, "the recipe, a YAML file")->required()->type_name("FILE");
            cli.add_option("--out", arguments->out, "folder of the run [out/<name of the recipe>]")->type_name("DIR");
            cli.add_option("--set", arguments->sets,
                           "a value of the recipe (limit=40) or an option of a step (train.max_steps=10); repeatable")
                ->type_name("NAME=VALUE");
            cli.add_flag("--explain", arguments->explain, "say why each step runs");
            cli.add_flag("--dry-run", arguments->dry_run, "forecast time and cost, run nothing");
            cli.add_flag("--json", arguments->json, "the report (or the forecast) as one JSON object");
            std::string kinds;
            for (const StepKind& kind : step_kinds()) kinds += std::string(kinds.empty() ? "" : ", ") + kind.name;
            cli.footer(fmt::format("Kinds of steps: {}. `retort run --help KIND` lists a kind's options.", kinds));
            return [arguments] { return run_recipe(*arguments); };
          }};
}

}  // namespace retort::app
