// The program's entry: one verb, one Command. Errors end here as one message and an exit status by kind.
#include <cstdio>
#include <cstring>
#include <exception>

#include <fmt/core.h>

#include "app/command.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/progress.h"

namespace retort::app {

// Each is defined in cmd_<name>.cc.
Command run_command();
Command collect_command();
Command curate_command();
Command train_command();
Command eval_command();
Command serve_command();
Command chat_command();
Command cost_command();
Command teacher_command();
Command perplexity_command();
Command logprobs_command();
Command tokenize_command();
Command render_command();
Command verify_command();
Command inspect_command();
Command export_command();
Command doctor_command();

// In the order of --help: the flow first, then the parts anyone can check.
constexpr Command (*kCommands[])() = {
    run_command,    collect_command, curate_command,  train_command,      eval_command,     serve_command,
    chat_command,   cost_command,    teacher_command, perplexity_command, logprobs_command, tokenize_command,
    render_command, verify_command,  inspect_command, export_command,     doctor_command,
};

constexpr const char* kFlow =
    "Prompt -collect-> Trace -curate-> Example -train-> Checkpoint -eval-> Score;\n"
    "Checkpoint -infer/serve-> Turn; all of it -> ledger";

int report(const Error& error) {
  fmt::print(stderr, "retort: {}\n", error.message);
  return exit_status(error.code);
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
  for (const auto make : kCommands) {
    const Command command = make();
    CLI::App* sub = cli.add_subcommand(command.name, command.summary);
    defined.emplace_back(sub, command.define(*sub));
  }

  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int status = cli.exit(e);
    return status == 0 ? 0 : exit_status(Code::Invalid);
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
  try {
    return retort::app::main_checked(argc, argv);
  } catch (const std::exception& e) {
    return retort::app::report(retort::fail(retort::Code::Internal, "a defect in retort: {}", e.what()));
  }
}
