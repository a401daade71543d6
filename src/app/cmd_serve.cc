// retort serve MODEL: OpenAI's API over a local model, until Ctrl-C, SIGTERM or SIGHUP.
#include <unistd.h>

#include <thread>

#include <fmt/core.h>

#include "app/command.h"
#include "app/open_model.h"
#include "app/sampling_defaults.h"
#include "app/say.h"
#include "base/cancel.h"
#include "base/env.h"
#include "base/log.h"
#include "serve/api_server.h"

namespace retort::app {
namespace {

// Running answers get this long after Ctrl-C; a second Ctrl-C ends the program at once.
constexpr int64_t kGraceMs = 5'000;
// What cannot be cancelled (a template of the model's that computes on and on) gets this long after that.
constexpr int64_t kLastMs = 5'000;

struct ServeOptions {
  serve::Options server;
  infer::Options engine;

  template <class V>
  void fields(V&& v) {
    server.fields(v);
    engine.fields(v);
  }
};

Result<int> run(const std::string& path, const ServeOptions& options, const std::string& port_file) {
  Env& env = system_env();
  RETORT_ASSIGN(const auto engine, open_engine(path, options.engine));
  RETORT_ASSIGN(const auto server,
                serve::ApiServer::start(options.server, *engine, sampling_defaults(engine->model().generation), env));
  say("{}/v1\n", server->url());
  std::fflush(stdout);
  log::info("serving {} at {}/v1{} (Ctrl-C ends it)", engine->name(), server->url(),
            options.server.key_file.empty() ? "" : " to those with a key");
  if (!port_file.empty()) RETORT_TRY(env.write_file(port_file, fmt::format("{}\n", server->port())));
  while (!process_cancel().requested()) env.sleep_us(50'000);
  log::info("stopping: running answers get {} s", kGraceMs / 1000);
  // Whatever hangs in there, the process ends.
  std::thread([&env] {
    env.sleep_us((kGraceMs + kLastMs) * 1000);
    log::warn("something still runs that cannot be stopped; ending anyway");
    ::_exit(130);
  }).detach();
  server->stop(kGraceMs);
  return 0;
}

}  // namespace

Command serve_command() {
  return {
      "serve", "serve a model over OpenAI's API", [](CommandLine& cli) -> std::function<Result<int>()> {
        const ServeOptions defaults;
        OptionFlags flags(cli, defaults);
        auto path = std::make_shared<std::string>();
        auto port_file = std::make_shared<std::string>();
        cli.add_option("model", *path, "model directory, GGUF file or Hugging Face cache folder")
            ->required()
            ->type_name("MODEL");
        cli.add_option("--port-file", *port_file, "file that gets the port once the server listens")->type_name("FILE");
        return [flags, path, port_file]() -> Result<int> {
          ServeOptions options;
          RETORT_TRY(flags.load(options));
          return run(*path, options, *port_file);
        };
      }};
}

}  // namespace retort::app
