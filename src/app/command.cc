#include "app/command.h"

#include <CLI/CLI.hpp>

#include "base/env.h"

namespace retort::app {

using Added = CommandLine::Added;

Added& Added::required() {
  option_->required();
  return *this;
}

Added& Added::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}

Added& Added::delimiter(char between) {
  option_->delimiter(between);
  return *this;
}

Added& Added::expected(int least, int most) {
  option_->expected(least, most);
  return *this;
}

Added& Added::default_str(const std::string& text) {
  option_->default_str(text);
  return *this;
}

Added& Added::capture_default_str() {
  option_->capture_default_str();
  return *this;
}

Added& Added::range(int64_t least, int64_t most) {
  option_->check(CLI::Range(least, most));
  return *this;
}

Added& Added::group(const std::string& name) {
  option_->group(name);
  return *this;
}

Added& Added::trigger_on_parse() {
  option_->trigger_on_parse();
  return *this;
}

Added CommandLine::add_flag(const std::string& name, bool& into, const std::string& help) {
  return Added(app_.add_flag(name, into, help));
}

Added CommandLine::add_option(const std::string& name, std::string& into, const std::string& help) {
  return Added(app_.add_option(name, into, help));
}

Added CommandLine::add_option(const std::string& name, int& into, const std::string& help) {
  return Added(app_.add_option(name, into, help));
}

Added CommandLine::add_option(const std::string& name, int64_t& into, const std::string& help) {
  return Added(app_.add_option(name, into, help));
}

Added CommandLine::add_option(const std::string& name, uint64_t& into, const std::string& help) {
  return Added(app_.add_option(name, into, help));
}

Added CommandLine::add_option(const std::string& name, double& into, const std::string& help) {
  return Added(app_.add_option(name, into, help));
}

Added CommandLine::add_option(const std::string& name, std::vector<std::string>& into, const std::string& help) {
  return Added(app_.add_option(name, into, help));
}

Added CommandLine::add_option(const std::string& name, std::function<void(const std::string&)> take,
                              const std::string& help) {
  return Added(app_.add_option_function<std::string>(name, take, help));
}

void CommandLine::footer(const std::string& text) { app_.footer(text); }

std::string help_of(const OptionField& field) {
  std::string shown = field.value.is_string() ? field.value.get<std::string>() : to_text(field.value);
  if (field.type == "array") {
    shown.clear();
    for (const Json& word : field.value) shown += (shown.empty() ? "" : ",") + word.get<std::string>();
  }
  const bool says_nothing = shown.empty() || shown == "false";
  std::string help = field.help;
  if (!field.about.one_of.empty() && help.find(field.about.one_of) == std::string::npos)
    help += (help.empty() ? "" : ": ") + field.about.one_of;
  return help + (says_nothing ? "" : " [" + shown + "]");
}

std::string type_of(const OptionField& field) {
  std::string type = field.about.path          ? "PATH"
                     : field.type == "boolean" ? ""
                     : field.type == "array"   ? "a,b,..."
                                               : field.type;
  return field.about.required ? type + " REQUIRED" : type;
}

std::string flag_of(const std::string& option) { return "--" + replace_all(option, "_", "-"); }

void OptionFlags::attach(CommandLine& cli) {
  for (const OptionField& field : state_->fields) {
    const auto add = [&](const std::string& flag) {
      // Files may be given one after another, as the shell lists them; other lists as one word with commas.
      if (field.type == "array" && field.about.path) {
        Added option = cli.add_option(flag, state_->files[field.path], help_of(field));
        option->delimiter(',');
        return option;
      }
      Added option = cli.add_option(
          flag,
          [state = state_, path = field.path, yes = field.type == "boolean"](const std::string& text) {
            (void)apply_set(state->flags, path + "=" + (yes && text.empty() ? "true" : text));
          },
          help_of(field));
      option->trigger_on_parse();
      if (field.type == "boolean") option->expected(0, 1);
      return option;
    };
    const std::string flag = flag_of(field.path);
    add(flag)->type_name(type_of(field));
    // The other spelling works as well and is not listed.
    if (const std::string other = "--" + field.path; other != flag) add(other)->group("");
  }
  cli.add_option("--config", state_->config, "YAML file of options; --set and flags win over it")->type_name("FILE");
  cli.add_option("--set", state_->sets, "an option by its full name: --set a.b=c (repeatable)")
      ->type_name("NAME=VALUE");
}

Error OptionFlags::named(Error error) const {
  for (const OptionField& field : state_->fields)
    error.message = replace_all(error.message, "`" + field.path + "`", flag_of(field.path));
  return error;
}

Result<Json> OptionFlags::collected() const {
  Json given = Json::object();
  if (!state_->config.empty()) {
    RETORT_ASSIGN(const std::string text, system_env().read_file(state_->config));
    auto parsed = parse_yaml(text);
    if (!parsed.ok()) return within(state_->config, std::move(parsed).error());
    if (parsed->is_object())
      given = *parsed;
    else if (!parsed->is_null())
      return fail(Code::Invalid, "{} must be a map of options", state_->config);
  }
  for (const std::string& set : state_->sets) RETORT_TRY(apply_set(given, set));
  given.merge_patch(state_->flags);
  for (const auto& [path, files] : state_->files) {
    if (!files.empty()) given[path] = files;
  }
  return given;
}

}  // namespace retort::app
