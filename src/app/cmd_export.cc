// `retort export MODEL FOLDER`: any model that retort reads (a GGUF, say) as a Hugging Face directory, with the record
// of where it comes from and a card for readers; curated examples (`retort export examples.jsonl chats.jsonl`) as chats
// for other trainers.
#include <fmt/core.h>

#include "app/command.h"
#include "app/export_messages.h"
#include "app/model_card.h"
#include "app/say.h"
#include "app/train_files.h"
#include "base/env.h"
#include "model/hf_directory.h"
#include "model/model.h"

namespace retort::app {
namespace {

struct State {
  std::string model, folder, dtype = "bf16";
  std::vector<std::string> summaries;
  int64_t max_shard_mb = 5000;
  bool replace = false, apart = false;
};

// provenance.json and the card of what is written: the record of `source` goes along as its base's. A card or a licence
// text that lies there goes along as it is.
Status add_pedigree(const State& state, const model::Model& source, model::HfDirectory& out, Env& env) {
  CardFacts facts;
  facts.name = source.name;
  facts.provenance = {{"retort", "model provenance"},
                      {"version", 1},
                      {"program", std::string("retort ") + RETORT_VERSION},
                      {"method", fmt::format("export as {}", state.dtype)}};
  RETORT_ASSIGN(facts.provenance["base"], provenance_part(state.model, env));
  for (const Json* base = find(facts.provenance, "base");
       facts.licence.empty() && base != nullptr && base->is_object();) {
    RETORT_ASSIGN(facts.licence, get_string(*base, "licence", ""));
    const Json* before = find(*base, "provenance");
    base = before == nullptr ? nullptr : find(*before, "base");
  }
  for (const std::string& file : state.summaries) {
    RETORT_ASSIGN(const std::string text, env.read_file(file));
    auto summary = parse_json(text);
    if (!summary.ok() || !summary->is_object() || find(*summary, "tasks") == nullptr)
      return fail(Code::Invalid, "--summary {} is not the summary.json of `retort eval`; give that", file);
    facts.summaries.push_back(std::move(*summary));
  }
  out.extra_files.emplace_back(kModelProvenance, facts.provenance.dump(1) + "\n");
  out.extra_files.emplace_back("README.md", model_card(facts));
  if (source.format != "huggingface") return {};
  for (const char* name : {"README.md", "LICENSE", "NOTICE"}) {
    const std::string path = source.path + "/" + name;
    if (!env.exists(path) || (name == std::string("README.md") && !state.summaries.empty())) continue;
    std::erase_if(out.extra_files, [&](const auto& file) { return file.first == name; });
    RETORT_ASSIGN(std::string text, env.read_file(path));
    out.extra_files.emplace_back(name, std::move(text));
  }
  return {};
}

Result<int> run(const State& state) {
  if (state.model.ends_with(".jsonl") || state.model.ends_with(".jsonl.zst")) {
    RETORT_ASSIGN(const int64_t count, export_messages(state.model, state.folder, state.apart, system_env()));
    fmt::print("{}: {} examples as messages\n", state.folder, count);
    return 0;
  }
  if (state.dtype != "f32" && state.dtype != "bf16") {
    return fail(Code::Invalid, "--dtype {} is not supported; choose f32 or bf16", state.dtype);
  }
  if (state.max_shard_mb < 1) return fail(Code::Invalid, "--max-shard-mb {} must be 1 or more", state.max_shard_mb);
  std::string folder = state.folder;
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  if (folder.ends_with(".gguf"))
    return fail(Code::Invalid,
                "{} is named like a GGUF file, but export writes a Hugging Face folder; name a folder, and make a GGUF "
                "of it with llama.cpp's convert_hf_to_gguf.py",
                state.folder);
  RETORT_ASSIGN(const model::Model source, model::load_model(state.model));
  model::HfDirectory out;
  out.config = source.config;
  out.generation = source.generation;
  for (const auto& [name, tensor] : source.tensors) out.tensors.push_back({name, tensor});
  RETORT_ASSIGN(out.text, model::text_files(source));
  out.dtype = state.dtype == "f32" ? model::DType::F32 : model::DType::BF16;
  out.files = source.files;
  out.max_shard_bytes = state.max_shard_mb * 1'000'000;
  Env& env = system_env();
  RETORT_TRY(add_pedigree(state, source, out, env));
  RETORT_TRY(model::write_hf_directory(state.folder, out, state.replace, env));
  RETORT_ASSIGN(const auto names, env.list_directory(folder));
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    RETORT_ASSIGN(const int64_t bytes, env.file_size(path));
    say("{}  {}{} bytes\n", path, name.ends_with(".safetensors") ? state.dtype + ", " : "", bytes);
  }
  return 0;
}

}  // namespace

Command export_command() {
  return {
      "export", "write a model as a Hugging Face directory, or examples as chats for other trainers",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        auto state = std::make_shared<State>();
        cli.add_option("model", state->model, "a folder, a .gguf or a Hugging Face cache folder; or examples (.jsonl)")
            ->required();
        cli.add_option("folder", state->folder, "where to write; must not exist or be empty; of examples: the .jsonl")
            ->required();
        cli.add_option("--dtype", state->dtype, "f32 or bf16")->capture_default_str();
        cli.add_option("--max-shard-mb", state->max_shard_mb, "weights above this are cut into several files")
            ->capture_default_str();
        cli.add_option("--summary", state->summaries, "summary.json of `retort eval`, for the card; may come again")
            ->type_name("FILE");
        cli.add_flag("--replace", state->replace, "put the new folder in place of an old one that retort wrote");
        cli.add_flag("--reasoning-content", state->apart,
                     "examples: the thought apart from the answer, not in <think> marks");
        return [state] { return run(*state); };
      }};
}

}  // namespace retort::app
