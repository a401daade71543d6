// `retort init FOLDER`: a project to begin with, as files that are meant to be edited: a recipe, the teacher's
// permission record, a price list, prompts. What only the user can say (leave, prices of a hosted model) stays empty
// there, and the run refuses until it is written; nothing of it is invented here.
#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/core.h>

#include "app/command.h"
#include "base/env.h"
#include "base/text.h"
#include "collect/permission.h"
#include "record/prompt.h"
#include "tasks/generate.h"

namespace retort::app {
namespace {

struct TeacherKind {
  const char* name;
  const char* endpoint;
  const char* key_variable;
  const char* terms;   // where they can be read; "" where the model's licence counts
  const char* prices;  // where they can be read
};

constexpr TeacherKind kTeachers[] = {
    {"openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "https://openai.com/policies/",
     "https://openai.com/api/pricing/"},
    {"deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "https://platform.deepseek.com/ (terms of use)",
     "https://api-docs.deepseek.com/quick_start/pricing"},
    {"openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY",
     "https://openrouter.ai/terms, and the terms of the model's maker", "https://openrouter.ai/models"},
    {"local", "http://127.0.0.1:8000/v1", "RETORT_API_KEY", "", ""},
    {"procedural", "http://127.0.0.1:*/v1", "RETORT_API_KEY", "", ""},
};

struct Arguments {
  std::string folder, teacher = "procedural", model, endpoint, licence, checked_by, base, input_price, output_price;
};

constexpr const char* kPrompts[] = {
    R"({"id": "1", "question": "A tank holds 240 litres and loses 15 litres an hour. After how many hours is it empty?", "answer": "16"})",
    R"({"id": "2", "question": "Three pens cost 4.50. What do seven pens cost?", "answer": "10.50"})",
    R"({"id": "3", "question": "A train leaves at 9:40 and arrives at 11:05. How many minutes does it take?", "answer": "85"})",
    R"({"id": "4", "question": "What is 12 % of 350?", "answer": "42"})",
    R"({"id": "5", "question": "A rectangle is 8 cm long and 5 cm wide. What is its area in square centimetres?", "answer": "40"})",
    R"({"id": "6", "question": "Anna has 24 sweets and gives a third of them away. How many are left?", "answer": "16"})",
    R"({"id": "7", "question": "The sum of two numbers is 30 and their difference is 6. Which is the larger?", "answer": "18"})",
    R"({"id": "8", "question": "A recipe for 4 people needs 300 g of flour. How many grams do 10 people need?", "answer": "750"})",
    R"({"id": "9", "question": "What is the next number: 2, 6, 12, 20, 30?", "answer": "42"})",
    R"({"id": "10", "question": "A shirt costs 40 after a discount of 20 %. What did it cost before?", "answer": "50"})",
    R"({"id": "11", "question": "How many seconds are there in two and a half hours?", "answer": "9000"})",
    R"({"id": "12", "question": "Five workers need 6 days for a wall. How many days do three workers need?", "answer": "10"})",
};

constexpr const char* kRecipe = R"(# @TITLE@. Edit it as you like; `retort run recipe.yaml` runs what is not up to
# date, `--dry-run` forecasts time and cost first, `--explain` says why a step runs, `retort run --help collect` lists
# the options of a step of that kind.
name: @NAME@
set:
  prompts: prompts.jsonl   # your own: a JSON object a line with `question`, and `answer` where it is known
  train_share: @SHARE@         # of the prompts; the rest is kept for measuring
steps:
  split:
    do: split
    from: ["${prompts}"]
    train_share: "${train_share}"
    shared_words: 0        # 8: prompts that share 8 words in a row stay on one side; 0: prompts may share instructions
  collect:
    do: collect
    prompts: "${split}/train.jsonl"
@ASK@
    permission: permission.yaml
    prices: prices.yaml
    cap: "1.00"            # dollars that this step may spend, all runs of it together
    samples: 2             # answers to each prompt; without a reference answer, the majority decides
    max_tokens: @TOKENS@
  curate:
    do: curate
    traces: ["${collect}/traces.jsonl"]
    exclude: ["${split}/test.jsonl"]
    max_per_prompt: 1
  student:
    do: train
    examples: "${curate}/examples.jsonl"
@STUDENT@
@EVALS@)";

constexpr const char* kScratch =
    R"(    # A very small model from scratch, to see the whole way work in minutes. For a student that is of use, name a base:
    # replace the lines below by `base: /path/to/model` (a Hugging Face directory or a GGUF file of the Llama
    # architecture), `optimizer: {lr: 0.0001}`, and evaluate that base as well.
    from_scratch: true
    epochs: 4
    max_length: 512
    batch_size: 8
    optimizer: {lr: 0.003}
    scratch: {layers: 2, hidden: 96, heads: 4, kv_heads: 4, ffn: 256, vocab_size: 512, max_positions: 1024})";

constexpr const char* kFromBase = R"(    base: @BASE@
    max_length: 1024
    optimizer: {lr: 0.0001})";

std::string filled(std::string text, std::initializer_list<std::pair<const char*, std::string>> values) {
  for (const auto& [name, value] : values) text = replace_all(text, name, value);
  return text;
}

std::string in_quotes(const std::string& text) { return to_text(Json(text)); }

Result<std::string> prompts(bool procedural) {
  std::string out;
  if (!procedural) {
    for (const char* line : kPrompts) out += std::string(line) + "\n";
    return out;
  }
  tasks::Options options;
  options.train = 400;
  options.test = 0;
  options.max_digits = 2;
  RETORT_ASSIGN(const tasks::ProblemSet set, tasks::generate(options));
  int number = 0;
  for (const tasks::Problem& problem : set.train)
    out += to_text(encode(tasks::to_prompt(problem, "train", number++, true))) + "\n";
  return out;
}

std::string asking(const TeacherKind& kind, const Arguments& a) {
  if (a.teacher == "procedural")
    return "    procedural: true       # retort's own teacher of arithmetic, started for the step; it costs nothing";
  std::string out = fmt::format("    endpoint: {}\n    model: {}\n", in_quotes(a.endpoint), in_quotes(a.model));
  out += fmt::format("    key_variable: {}   # environment variable that holds the API key", kind.key_variable);
  if (a.teacher == "local") out += "; a server without keys needs none";
  return out + "\n    concurrency: 8";
}

collect::Permission permission(const TeacherKind& kind, const Arguments& a, Env& env) {
  collect::Permission out;
  out.name = a.teacher == "procedural" ? "retort's procedural teacher" : a.model;
  out.endpoint = a.endpoint;
  out.date = utc_date(env.wall_us());
  out.expires = "never";
  out.licence = a.licence;
  if (kind.terms[0] == 0) out.clause = collect::licence_clause(a.licence);  // a hosted model's terms count besides
  out.checked_by = a.checked_by;
  out.evidence = kind.terms;
  if (!out.clause.empty()) {
    out.evidence = a.teacher == "procedural" ? "the LICENSE that retort comes with; the answers are computed by it"
                                             : fmt::format("the model card of {}, and its licence", a.model);
    out.allowed_uses = {"distillation"};
  }
  return out;
}

std::string prices(const TeacherKind& kind, const Arguments& a) {
  const bool free = a.teacher == "local" || a.teacher == "procedural";
  std::string out = "# Dollars per million tokens; optional: cached_input, reasoning.";
  if (free) out += " This teacher costs nothing.";
  if (!free) out += fmt::format(" They stand at {} (fill them in,\n# and look again before a large run).", kind.prices);
  const auto price = [&](const std::string& given) { return !given.empty() ? given : free ? "0" : ""; };
  return fmt::format("{}\n{}: {{input: {}, output: {}}}\n", out, in_quotes(a.model), price(a.input_price),
                     price(a.output_price));
}

Result<int> run(Arguments a, Env& env) {
  const TeacherKind* kind = std::find_if(std::begin(kTeachers), std::end(kTeachers),
                                         [&](const TeacherKind& k) { return a.teacher == k.name; });
  if (kind == std::end(kTeachers))
    return fail(Code::Invalid, "--teacher {} is not known; choose openai, deepseek, openrouter, local or procedural",
                a.teacher);
  const bool procedural = a.teacher == "procedural";
  if (procedural) {
    a.model = "retort-teacher";
    a.licence = "Apache-2.0";
    if (a.checked_by.empty()) a.checked_by = "the authors of retort";
  }
  if (a.model.empty())
    return fail(Code::Invalid, "the teacher's model is missing; name it with --model, as its API calls it");
  if (a.endpoint.empty()) a.endpoint = kind->endpoint;
  RETORT_TRY(collect::check_endpoint(a.endpoint));
  if (env.exists(a.folder) && !env.is_directory(a.folder)) return fail(Code::Invalid, "{} is a file", a.folder);
  if (env.is_directory(a.folder)) {
    RETORT_ASSIGN(const auto entries, env.list_directory(a.folder));
    if (!entries.empty())
      return fail(Code::Invalid, "{} is not empty (it holds {}); name a new folder", a.folder, entries.front());
  }
  std::error_code ec;
  const std::string whole = std::filesystem::absolute(a.folder, ec).lexically_normal().string();
  std::string name = std::filesystem::path(whole).filename().string();
  if (name.empty()) name = std::filesystem::path(whole).parent_path().filename().string();
  if (!a.base.empty()) a.base = std::filesystem::absolute(a.base, ec).lexically_normal().string();

  std::string evals;
  const std::string tasks = "tasks: [\"${split}/test.jsonl\"], max_tokens: " + std::string(procedural ? "300" : "1024");
  if (!a.base.empty()) evals += fmt::format("  eval_base: {{do: eval, model: {}, {}}}\n", in_quotes(a.base), tasks);
  evals += "  eval_student: {do: eval, model: \"${student}/model\", " + tasks + "}\n";
  const std::string recipe =
      filled(kRecipe, {{"@TITLE@", "A student of " + std::string(procedural ? "retort's procedural teacher" : a.model)},
                       {"@NAME@", in_quotes(name)},
                       {"@SHARE@", "0.8"},
                       {"@ASK@", asking(*kind, a)},
                       {"@TOKENS@", procedural ? "400" : "2048"},
                       {"@STUDENT@", a.base.empty() ? kScratch : filled(kFromBase, {{"@BASE@", in_quotes(a.base)}})},
                       {"@EVALS@", evals}});
  RETORT_ASSIGN(const std::string questions, prompts(procedural));
  const collect::Permission record = permission(*kind, a, env);
  RETORT_TRY(env.make_directories(a.folder));
  RETORT_TRY(env.write_file(a.folder + "/prompts.jsonl", questions));
  RETORT_TRY(env.write_file(a.folder + "/permission.yaml", collect::permission_text(record)));
  RETORT_TRY(env.write_file(a.folder + "/prices.yaml", prices(*kind, a)));
  RETORT_TRY(env.write_file(a.folder + "/.gitignore", "out/\n*.key\n.env\n"));
  RETORT_TRY(env.write_file(a.folder + "/recipe.yaml", recipe));

  fmt::print("{}: recipe.yaml, permission.yaml, prices.yaml, prompts.jsonl\nNext:\n  cd {}\n", a.folder, a.folder);
  if (!collect::permission_faults(record, "", env.wall_us()).empty())
    fmt::print("  # fill in permission.yaml{}, then\n  retort permission check permission.yaml\n",
               kind->terms[0] != 0 ? fmt::format(" after reading {}", kind->terms) : " from the model's licence");
  if (kind->prices[0] != 0 && (a.input_price.empty() || a.output_price.empty()))
    fmt::print("  # fill in prices.yaml from {}\n", kind->prices);
  if (kind->terms[0] != 0) fmt::print("  export {}=...\n", kind->key_variable);
  fmt::print("  retort run recipe.yaml --dry-run\n  retort run recipe.yaml\n");
  return 0;
}

}  // namespace

Command init_command() {
  return {
      "init", "begin a project: a recipe, a permission record, prices and prompts to edit",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        auto a = std::make_shared<Arguments>();
        cli.add_option("folder", a->folder, "a folder that is new or empty")->required();
        cli.add_option("--teacher", a->teacher,
                       "openai, deepseek, openrouter, local (llama.cpp, vLLM, Ollama) or procedural (retort's own "
                       "teacher of arithmetic) [procedural]");
        cli.add_option("--model", a->model, "the teacher's model, as its API calls it")->type_name("NAME");
        cli.add_option("--endpoint", a->endpoint, "base URL [that of the kind; local: http://127.0.0.1:8000/v1]")
            ->type_name("URL");
        cli.add_option("--licence", a->licence,
                       "licence of the teacher's weights (SPDX); Apache-2.0 and MIT fill in the record's clause");
        cli.add_option("--checked-by", a->checked_by, "who vouches for the permission record")->type_name("NAME");
        cli.add_option("--input-price", a->input_price, "dollars per million input tokens")->type_name("DOLLARS");
        cli.add_option("--output-price", a->output_price, "dollars per million output tokens")->type_name("DOLLARS");
        cli.add_option("--base", a->base, "model that the student starts from [a tiny one from scratch]")
            ->type_name("MODEL");
        return [a]() -> Result<int> { return run(*a, system_env()); };
      }};
}

}  // namespace retort::app
