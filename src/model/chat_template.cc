#include "model/chat_template.h"

#include "base/text.h"
#include "model/jinja_ast.h"
#include "model/jinja_eval.h"

namespace retort::model {

constexpr size_t kMaxSource = size_t{1} << 20;

struct ChatTemplate::Program {
  jinja::Block block;
};

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  if (source.size() > kMaxSource)
    return fail(Code::Limit, "the chat template has {} bytes, more than {}", source.size(), kMaxSource);
  try {
    auto program = std::make_shared<Program>();
    program->block = jinja::parse_template(to_utf8(source));
    return ChatTemplate(std::move(program));
  } catch (jinja::Failure& failure) {
    return within("chat template", std::move(failure.error));
  }
}

Result<std::string> ChatTemplate::render(const Json& variables, const RenderOptions& options) const {
  const auto once = [&](const Json& given) -> Result<std::string> {
    try {
      jinja::Interpreter interpreter(options);
      return interpreter.render(program_->block, given);
    } catch (jinja::Failure& failure) {
      return within("chat template", std::move(failure.error));
    }
  };
  auto out = once(variables);
  if (out.ok() || out.error().code != Code::Invalid) return out;
  Json without = variables;
  for (const char* name : {"tools", "documents"}) {
    const Json* value = find(without, name);
    if (value != nullptr && value->is_null()) without.erase(name);
  }
  if (!variables.is_object() || without.size() == variables.size()) return out;
  auto second = once(without);
  return second.ok() ? std::move(second) : std::move(out);
}

Json chat_variables(const std::vector<Message>& messages, bool add_generation_prompt, std::string_view bos_token,
                    std::string_view eos_token, const Json& extra) {
  Json out = {{"messages", encode(messages)},
              {"tools", nullptr},
              {"documents", nullptr},
              {"add_generation_prompt", add_generation_prompt}};
  // An absent token stays undefined, as in transformers.
  if (!bos_token.empty()) out["bos_token"] = std::string(bos_token);
  if (!eos_token.empty()) out["eos_token"] = std::string(eos_token);
  if (extra.is_object()) {
    for (const auto& [key, value] : extra.items()) out[key] = value;
  }
  return out;
}

}  // namespace retort::model
