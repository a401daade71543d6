// retort teacher: the procedural teacher as a server of its own, until Ctrl-C.
#include <fmt/core.h>

#include "app/command.h"
#include "app/teacher.h"
#include "base/cancel.h"
#include "base/log.h"

namespace retort::app {

Command teacher_command() {
  return {
      "teacher", "serve a procedural teacher over OpenAI's API", [](CommandLine& cli) -> std::function<Result<int>()> {
        const TeacherOptions defaults;
        OptionFlags flags(cli, defaults);
        auto port_file = std::make_shared<std::string>();
        cli.add_option("--port-file", *port_file, "file that gets the port once the server listens")->type_name("FILE");
        return [flags, port_file]() -> Result<int> {
          TeacherOptions options;
          RETORT_TRY(flags.load(options));
          Env& env = system_env();
          RETORT_ASSIGN(const auto teacher, Teacher::start(options, env));
          log::info("{} teaches at {}/v1 (Ctrl-C ends it)", options.model, teacher->url());
          if (!port_file->empty()) RETORT_TRY(env.write_file(*port_file, fmt::format("{}\n", teacher->port())));
          while (!process_cancel().requested()) env.sleep_us(50'000);
          return 0;
        };
      }};
}

}  // namespace retort::app
