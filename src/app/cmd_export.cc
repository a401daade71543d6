// `retort export MODEL FOLDER`: any model that retort reads (a GGUF, say) as a Hugging Face directory.
#include <fmt/core.h>

#include "app/command.h"
#include "base/env.h"
#include "model/hf_directory.h"
#include "model/model.h"

namespace retort::app {
namespace {

struct State {
  std::string model, folder, dtype = "bf16";
  int64_t max_shard_mb = 5000;
  bool replace = false;
};

Result<int> run(const State& state) {
  if (state.dtype != "f32" && state.dtype != "bf16") {
    return fail(Code::Invalid, "--dtype {} is not supported; choose f32 or bf16", state.dtype);
  }
  if (state.max_shard_mb < 1) return fail(Code::Invalid, "--max-shard-mb {} must be 1 or more", state.max_shard_mb);
  RETORT_ASSIGN(const model::Model source, model::load_model(state.model));
  model::HfDirectory out;
  out.config = source.config;
  out.generation = source.generation;
  for (const auto& [name, tensor] : source.tensors) out.tensors.push_back({name, tensor});
  RETORT_ASSIGN(out.text, model::text_files(source));
  out.dtype = state.dtype == "f32" ? model::DType::F32 : model::DType::BF16;
  out.max_shard_bytes = state.max_shard_mb * 1'000'000;
  RETORT_TRY(model::write_hf_directory(state.folder, out, state.replace, system_env()));
  return 0;
}

}  // namespace

Command export_command() {
  return {"export", "write a model as a Hugging Face directory", [](CommandLine& cli) -> std::function<Result<int>()> {
            auto state = std::make_shared<State>();
            cli.add_option("model", state->model, "a folder, a .gguf or a Hugging Face cache folder")->required();
            cli.add_option("folder", state->folder, "where to write; must not exist or be empty")->required();
            cli.add_option("--dtype", state->dtype, "f32 or bf16")->capture_default_str();
            cli.add_option("--max-shard-mb", state->max_shard_mb, "weights above this are cut into several files")
                ->capture_default_str();
            cli.add_flag("--replace", state->replace, "put the new folder in place of an old one");
            return [state] { return run(*state); };
          }};
}

}  // namespace retort::app
