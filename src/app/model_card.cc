#include "app/model_card.h"

#include "base/options.h"
#include "base/text.h"
#include "model/gguf.h"

namespace retort::app {
namespace {

std::string text_of(const Json& object, std::string_view name) {
  const Json* value = find(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

// A string as YAML and Markdown can carry it: quoted for the header, without line breaks and bars in a table.
std::string quoted(const std::string& text) { return to_text(Json(text)); }
std::string cell(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r' || c == '|' || c == '`' || c == '<') c = ' ';
  return text.empty() ? "-" : text;
}

std::string counts(const Json& object) {
  std::string text;
  for (const auto& [name, count] : object.items())
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", cell(name), to_text(count));
  return text.empty() ? "-" : text;
}

// "pass@1 of the model on each task" as Markdown rows and as the header's model-index.
struct Measured {
  std::string rows, index;
};

Measured measured(const std::vector<Json>& summaries) {
  Measured out;
  for (const Json& summary : summaries) {
    const Json* tasks = find(summary, "tasks");
    if (tasks == nullptr || !tasks->is_object()) continue;
    for (const auto& [task, figures] : tasks->items()) {
      const Json* value = find(figures, "pass1");
      const Json* prompts = find(figures, "prompts");
      if (value == nullptr || !value->is_number() || prompts == nullptr) continue;
      const Json* interval = find(figures, "pass1_interval");
      out.rows += fmt::format("| {} | {} | {:.1f} % | {} |\n", cell(task), to_text(*prompts),
                              100 * value->get<double>(), interval == nullptr ? "-" : cell(to_text(*interval)));
      out.index += fmt::format(
          "  - task: {{type: text-generation}}\n    dataset: {{name: {0}, type: {0}}}\n"
          "    metrics: [{{type: accuracy, name: pass@1, value: {1}}}]\n",
          quoted(task), to_text(*value));
    }
  }
  return out;
}

std::string part_line(const char* what, const Json& record, const char* name) {
  const Json* part = find(record, name);
  if (part == nullptr || !part->is_object()) return "";
  return fmt::format("- {}: `{}`, SHA-256 `{}`\n", what, cell(text_of(*part, "name")), cell(text_of(*part, "sha256")));
}

// One record of the chain, then the one of the base it names.
std::string lineage(const Json& record) {
  std::string text = fmt::format("\n### {} by {}\n", cell(text_of(record, "method")), cell(text_of(record, "program")));
  text += part_line("from", record, "base") + part_line("tokenizer of", record, "tokenizer");
  if (const Json* examples = find(record, "examples"); examples != nullptr && examples->is_object()) {
    const Json none = Json::object();
    const auto member = [&](const char* name) -> const Json& {
      const Json* value = find(*examples, name);
      return value == nullptr ? none : *value;
    };
    text += fmt::format("- {} examples, SHA-256 `{}`; tasks: {}; vouched for by: {}\n", to_text(member("records")),
                        cell(text_of(*examples, "sha256")), counts(member("tasks")), counts(member("vouched_by")));
    text += "\n| teacher | examples | permission record (SHA-256) |\n|---|---|---|\n";
    for (const Json& teacher : member("teachers"))
      text += fmt::format("| {} | {} | {} |\n", cell(text_of(teacher, "teacher")),
                          find(teacher, "examples") == nullptr ? "-" : to_text(*find(teacher, "examples")),
                          cell(text_of(teacher, "permission_hash")));
  }
  const Json* base = find(record, "base");
  const Json* before = base == nullptr ? nullptr : find(*base, "provenance");
  return before != nullptr && before->is_object() ? text + lineage(*before) : text;
}

// The name of the last base in the chain, which is what hubs call the base model; "" for a model from scratch.
std::string base_model(const Json& record) {
  const Json* base = find(record, "base");
  if (base == nullptr || !base->is_object()) return "";
  const Json* before = find(*base, "provenance");
  const bool scratch = before != nullptr && find(*before, "base") != nullptr && find(*before, "base")->is_null();
  if (scratch) return "";
  const std::string deeper = before == nullptr ? "" : base_model(*before);
  return deeper.empty() ? text_of(*base, "name") : deeper;
}

}  // namespace

std::string model_card(const CardFacts& facts) {
  const Measured figures = measured(facts.summaries);
  const std::string base = base_model(facts.provenance);
  std::string text = "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [retort]\n";
  if (!base.empty()) text += fmt::format("base_model: {}\n", quoted(base));
  if (!facts.licence.empty()) text += fmt::format("license: {}\n", quoted(facts.licence));
  if (!figures.index.empty())
    text += fmt::format("model-index:\n- name: {}\n  results:\n{}", quoted(facts.name), figures.index);
  text += fmt::format("---\n# {}\n\n## Where it comes from\nThe same as data: provenance.json.\n", cell(facts.name));
  text += lineage(facts.provenance);
  text += "\n## Measured\n";
  text += figures.rows.empty() ? "Nothing was handed over (`retort export --summary FILE`).\n"
                               : "| task | n | pass@1 | 95 % interval |\n|---|---|---|---|\n" + figures.rows;
  text += "\n## Licence\n";
  text += facts.licence.empty()
              ? "The model states none. The permission records above say on what terms the teachers' "
                "text was used; state a licence before publishing.\n"
              : fmt::format("{}, as the model that this one was made from states it.\n", cell(facts.licence));
  return text;
}

Result<std::string> stated_licence(const std::string& path, Env& env) {
  if (!env.is_directory(path)) {
    RETORT_ASSIGN(const model::Gguf gguf, model::read_gguf(path));
    return gguf.metadata.get_string("general.license", "");
  }
  if (!env.exists(path + "/README.md")) return std::string();
  RETORT_ASSIGN(const std::string card, env.read_file(path + "/README.md"));
  constexpr std::string_view kFence = "---\n";
  const size_t end = card.starts_with(kFence) ? card.find("\n---", kFence.size()) : std::string::npos;
  if (end == std::string::npos) return std::string();
  const auto header = parse_yaml(std::string_view(card).substr(kFence.size(), end + 1 - kFence.size()));
  return header.ok() ? text_of(*header, "license") : std::string();
}

}  // namespace retort::app
