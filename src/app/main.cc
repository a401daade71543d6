// The program's entry: one verb, one Command. Errors end here as one message and an exit status by kind.
#include <cstdlib>
#include <exception>

#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/say.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text.h"

namespace retort::app {

constexpr const char* kFlow =
    "Prompt -collect-> Trace -curate-> Example -train-> Checkpoint -eval-> Score;\n"
    "Checkpoint -infer/serve-> Turn; all of it -> ledger";

int report(const Error& error) {
  say_error("retort: {}\n", shown(error.message, false, log::kMaxMessage));
  return exit_status(error.code);
}

// What the parser found wrong, as one line: a word that is not known comes before one that is missing, for the second
// often follows from the first.
std::string complaint(const CLI::App& cli, const CLI::Error& e) {
  const auto verbs = cli.get_subcommands();
  const CLI::App& place = verbs.empty() ? cli : *verbs.front();
  const std::string name = verbs.empty() ? "retort" : "retort " + place.get_name();
  std::string said = e.what();
  const auto unknown = cli.remaining(true);
  if (!unknown.empty()) {
    const bool is_option = unknown.front().starts_with("-");
    std::vector<std::string> known;
    if (is_option) {
      for (const CLI::Option* option : place.get_options())
        for (const std::string& word : option->get_lnames()) known.push_back("--" + word);
    } else if (verbs.empty()) {
      for (const CLI::App* verb : cli.get_subcommands({})) known.push_back(verb->get_name());
    }
    std::string close;
    const std::string word = unknown.front().substr(0, unknown.front().find('='));
    const std::string end = is_option && word.size() > 2 ? word.substr(2) : "";
    for (const std::string& flag : known) {  // --lr is the end of --optimizer.lr
      if (close.empty() && !end.empty() && (flag.ends_with("." + end) || flag.ends_with("-" + end))) close = flag;
    }
    if (close.empty()) close = nearest(word, known);
    said = fmt::format("{} `{}`{}",
                       is_option       ? "unknown option"
                       : verbs.empty() ? "unknown command"
                                       : "one word too many:",
                       unknown.front(), close.empty() ? "" : fmt::format("; did you mean `{}`?", close));
  } else if (verbs.empty() && cli.get_subcommands().empty()) {
    said = "a command is missing";
  }
  return fmt::format("retort: {}\n`{} --help` lists what there is\n", said, name);
}

int main_checked(int argc, char** argv) {
  CLI::App cli{
      std::string("Distil a strong teacher into a small open reasoning model, and trust the result.\n") + kFlow,
      "retort"};
  cli.set_version_flag("--version", std::string("retort ") + RETORT_VERSION);
  cli.require_subcommand(1);
  cli.fallthrough();
  bool quiet = false, verbose = false;
  cli.add_flag("--quiet", quiet, "no progress, no notes: only results and errors");
  cli.add_flag("--verbose", verbose, "say more about what is done");

  std::vector<std::pair<CLI::App*, std::function<Result<int>()>>> defined;
  for (const Command& command : commands()) {
    CLI::App* sub = cli.add_subcommand(command.name, command.summary);
    CommandLine flags(*sub);
    defined.emplace_back(sub, command.define(flags));
  }

  try {
    cli.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    for (const CLI::App* verb : cli.get_subcommands()) {
      const CLI::Option* word = verb->get_option_no_throw("recipe");
      if (word == nullptr || word->results().empty()) continue;
      const auto text = help_about(verb->get_name(), word->results().front());
      if (text) return say("{}", *text), 0;
    }
    return cli.exit(e);
  } catch (const CLI::ParseError& e) {
    say_error("{}", shown(complaint(cli, e), true, log::kMaxMessage));
    return exit_status(Code::Invalid);
  }
  Progress::silence(quiet);
  log::set_level(verbose ? log::Level::Debug : quiet ? log::Level::Error : log::Level::Info);
  catch_signals();
  for (const auto& [sub, run] : defined) {
    if (!sub->parsed()) continue;
    const Result<int> status = run();
    return status.ok() ? *status : report(status.error());
  }
  return exit_status(Code::Internal);
}

}  // namespace retort::app

int main(int argc, char** argv) {
  // The trainer's libgomp reads this when it is loaded, and the environment may change only while there is one thread.
  // Its default (about 300,000 turns at a barrier) is made for machines of one's own: with other programs on the cores,
  // two threads ran at 950 tokens/s where these turns give 6,700.
  setenv("GOMP_SPINCOUNT", "10000", 0);
  try {
    return retort::app::main_checked(argc, argv);
  } catch (const std::exception& e) {
    return retort::app::report(retort::fail(retort::Code::Internal, "a defect in retort: {}", e.what()));
  }
}
