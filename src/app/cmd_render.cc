// retort render: a chat as the text that the model sees.
#include <cstdio>
#include <iostream>

#include "app/command.h"
#include "base/cancel.h"
#include "base/text.h"
#include "model/chat_turn.h"
#include "model/tokenizer_load.h"

namespace retort::app {
namespace {

struct Flags {
  std::string model, file, now;
  bool json = false;
};

struct Source {
  std::string text;
  Json defaults = Json::object();  // bos_token, eos_token of a model
};

Result<Source> read_source(const Flags& flags) {
  if (!flags.file.empty()) {
    RETORT_ASSIGN(std::string text, system_env().read_file(flags.file));
    return Source{std::move(text), Json::object()};
  }
  RETORT_ASSIGN(const model::TextParts parts, model::load_text(flags.model, system_env()));
  if (parts.chat_template.empty())
    return fail(Code::NotFound, "{} has no chat template; give one with --template FILE", flags.model);
  Source out{parts.chat_template, Json::object()};
  if (!parts.tokenizer.bos_token().empty()) out.defaults["bos_token"] = std::string(parts.tokenizer.bos_token());
  if (!parts.tokenizer.eos_token().empty()) out.defaults["eos_token"] = std::string(parts.tokenizer.eos_token());
  return out;
}

Result<std::string> render_row(const model::ChatTemplate& chat, const Source& source, const std::string& line,
                               const model::RenderOptions& options) {
  RETORT_ASSIGN(const Json row, parse_json(to_utf8(line)));
  if (!row.is_object()) return fail(Code::Invalid, "a line must be an object with `messages`, not {}", row.type_name());
  Json variables = source.defaults;
  for (const auto& [key, value] : row.items()) variables[key] = value;
  return chat.render(variables, options);
}

Result<int> run(const Flags& flags) {
  if (flags.model.empty() == flags.file.empty()) return fail(Code::Invalid, "give either --model or --template");
  RETORT_ASSIGN(const Source source, read_source(flags));
  RETORT_ASSIGN(const model::ChatTemplate chat, model::ChatTemplate::parse(source.text));
  model::RenderOptions options;
  options.now_us = system_env().wall_us();
  if (!flags.now.empty()) {
    auto noon = model::noon_of(flags.now);
    if (!noon.ok()) return within("--now", std::move(noon).error());
    options.now_us = *noon;
  }
  std::string line;
  int status = 0;
  while (std::getline(std::cin, line)) {
    if (process_cancel().requested()) return fail(Code::Cancelled, "stopped");
    if (trim(line).empty()) continue;
    const Result<std::string> text = render_row(chat, source, line, options);
    if (!flags.json) {
      if (!text.ok()) return text.error();
      std::fwrite(text->data(), 1, text->size(), stdout);
      continue;
    }
    // A broken line is answered in its place, so that output lines match input lines.
    if (!text.ok()) status = exit_status(text.error().code);
    const std::string out = to_text(text.ok() ? Json{{"text", *text}} : Json{{"error", text.error().message}}) + "\n";
    std::fwrite(out.data(), 1, out.size(), stdout);
  }
  return status;
}

}  // namespace

Command render_command() {
  return {"render", "write a chat as the text that the model sees",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto flags = std::make_shared<Flags>();
            cli.add_option("--model", flags->model, "a model's folder or a GGUF, whose template is used");
            cli.add_option("--template", flags->file, "a Jinja file");
            cli.add_option("--now", flags->now, "the date that strftime_now sees, YYYY-MM-DD (default: today)");
            cli.add_flag("--json", flags->json,
                         "one object a line: {messages, tools, add_generation_prompt, ...} to {text} or {error}");
            return [flags] { return run(*flags); };
          }};
}

}  // namespace retort::app
