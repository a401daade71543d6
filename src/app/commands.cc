// The verbs' list.
#include "app/command.h"

namespace retort::app {

// Each is defined in cmd_<name>.cc.
Command run_command();
Command problems_command();
Command split_command();
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
Command show_command();
Command export_command();
Command doctor_command();
Command init_command();
Command permission_command();

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      init_command(),     permission_command(), run_command(),     problems_command(),   split_command(),
      collect_command(),  curate_command(),     train_command(),   eval_command(),       serve_command(),
      chat_command(),     cost_command(),       teacher_command(), perplexity_command(), logprobs_command(),
      tokenize_command(), render_command(),     verify_command(),  inspect_command(),    show_command(),
      export_command(),   doctor_command(),
  };
  return all;
}

}  // namespace retort::app
