#include "app/recipe.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include <fmt/format.h>

#include "base/options.h"
#include "base/text.h"

namespace retort::app {
namespace {

constexpr size_t kLongestName = 100;  // folders are called so

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kLongestName) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

// Calls `found(begin, length, name)` for each ${name} of `text`. Invalid where a `${` is not closed.
Status each_reference(std::string_view text, const std::function<Status(size_t, size_t, std::string)>& found) {
  for (size_t at = text.find("${"); at != std::string_view::npos; at = text.find("${", at + 2)) {
    const size_t end = text.find('}', at);
    if (end == std::string_view::npos) return fail(Code::Invalid, "`{}` has a `${{` without its `}}`", text);
    RETORT_TRY(found(at, end + 1 - at, std::string(text.substr(at + 2, end - at - 2))));
  }
  return {};
}

// Text that the references of a recipe may be filled in with, all together.
constexpr size_t kMaxFilled = 64 << 20;

// Fills in values of `set` and notes references to steps. `filled` counts over all of a recipe's fillers.
class Filler {
 public:
  Filler(const Json& set, std::vector<std::string> ids, size_t& filled)
      : set_(set), ids_(std::move(ids)), filled_(filled) {}

  Status fill(Json& value, const std::string& where) {
    if (value.is_object() || value.is_array()) {
      for (auto it = value.begin(); it != value.end(); ++it) {
        RETORT_TRY(fill(*it, value.is_object() ? where + "." + it.key() : where));
      }
      return {};
    }
    if (!value.is_string()) return {};
    const std::string text = value.get<std::string>();
    std::string out;
    size_t copied = 0;
    bool whole = false;
    Json whole_value;
    RETORT_TRY(each_reference(text, [&](size_t begin, size_t length, const std::string& name) -> Status {
      const Json* given = find(set_, name);
      if (given != nullptr) {
        if (begin == 0 && length == text.size()) {
          whole = true;
          whole_value = *given;
        }
        const std::string value_text = given->is_string() ? given->get<std::string>() : to_text(*given);
        filled_ += value_text.size();
        if (filled_ > kMaxFilled)
          return fail(Code::Limit, "{}: with `${{{}}}` the values of `set` fill in more than {} bytes", where, name,
                      kMaxFilled);
        out += text.substr(copied, begin - copied);
        out += value_text;
        copied = begin + length;
        return {};
      }
      if (std::find(ids_.begin(), ids_.end(), name) == ids_.end()) {
        std::vector<std::string> known = ids_;
        for (const auto& [key, unused] : set_.items()) known.push_back(key);
        const std::string hint = nearest(name, known);
        return fail(Code::Invalid, "{}: `${{{}}}` is neither a step nor a value of `set`{}", where, name,
                    hint.empty() ? "" : fmt::format("; did you mean `${{{}}}`?", hint));
      }
      if (std::find(after.begin(), after.end(), name) == after.end()) after.push_back(name);
      return {};
    }));
    if (whole)
      value = whole_value;
    else
      value = out + text.substr(copied);
    return {};
  }

  std::vector<std::string> after;

 private:
  const Json& set_;
  std::vector<std::string> ids_;
  size_t& filled_;
};

Status order_steps(std::vector<Step>& steps) {
  std::vector<Step> sorted;
  std::vector<bool> done(steps.size(), false);
  const auto placed = [&](const std::string& id) {
    return std::any_of(sorted.begin(), sorted.end(), [&](const Step& s) { return s.id == id; });
  };
  while (sorted.size() < steps.size()) {
    const size_t before = sorted.size();
    for (size_t i = 0; i < steps.size(); ++i) {
      if (done[i] || !std::all_of(steps[i].after.begin(), steps[i].after.end(), placed)) continue;
      done[i] = true;
      sorted.push_back(steps[i]);
      break;  // the first that can go keeps the recipe's own order wherever it is a valid one
    }
    if (sorted.size() == before) {
      std::string ring;
      for (size_t i = 0; i < steps.size(); ++i) {
        if (!done[i]) ring += (ring.empty() ? "" : ", ") + steps[i].id;
      }
      return fail(Code::Invalid, "these steps refer to one another in a ring: {}", ring);
    }
  }
  steps = std::move(sorted);
  return {};
}

}  // namespace

Result<Recipe> read_recipe(const std::string& path, const std::vector<std::string>& sets, Env& env) {
  RETORT_ASSIGN(const std::string text, read_file(env, path, kMaxSmallFile));
  auto parsed = parse_yaml(text);
  if (!parsed.ok()) return within(path, std::move(parsed).error());
  Json root = *parsed;
  const auto build = [&]() -> Result<Recipe> {
    if (!root.is_object()) return fail(Code::Invalid, "a recipe is a map with `name` and `steps`");
    RETORT_TRY(options_detail::check_keys(root, {"name", "title", "set", "steps", "report"}, ""));
    Recipe recipe;
    recipe.path = path;
    recipe.folder = std::filesystem::path(path).parent_path().string();
    if (recipe.folder.empty()) recipe.folder = ".";
    RETORT_ASSIGN(recipe.name, need_string(root, "name"));
    if (!is_name(recipe.name))
      return fail(Code::Invalid,
                  "`name: {}` is no name: letters, digits, - and _, at most {}; the run's folder is called so",
                  recipe.name, kLongestName);
    RETORT_ASSIGN(recipe.title, get_string(root, "title", ""));
    recipe.set = root.contains("set") ? root["set"] : Json::object();
    if (!recipe.set.is_object()) return fail(Code::Invalid, "`set` must be a map of values");
    if (!root.contains("steps") || !root["steps"].is_object() || root["steps"].empty()) {
      return fail(Code::Invalid, "`steps` must be a map of steps: `<name>: {{do: collect, ...}}`");
    }
    Json& steps = root["steps"];
    std::vector<std::string> ids;
    for (const auto& [id, body] : steps.items()) {
      if (!is_name(id))
        return fail(Code::Invalid, "the step name `{}` is no name: letters, digits, - and _, at most {}", id,
                    kLongestName);
      if (!body.is_object()) return fail(Code::Invalid, "step `{}` must be a map with `do`", id);
      if (recipe.set.contains(id))
        return fail(Code::Invalid, "`{}` is both a step and a value of `set`; rename one", id);
      ids.push_back(id);
    }
    for (const std::string& set : sets) {
      const size_t equals = set.find('=');
      if (equals == std::string::npos) return fail(Code::Invalid, "`--set {}` has no `=`; write --set name=value", set);
      const std::string name = set.substr(0, equals);
      const size_t dot = name.find('.');
      if (dot == std::string::npos) {
        if (!recipe.set.contains(name)) {
          std::vector<std::string> known;
          for (const auto& [key, unused] : recipe.set.items()) known.push_back(key);
          const std::string hint = nearest(name, known);
          return fail(Code::Invalid, "`--set {}`: this recipe has no value `{}`{}", set, name,
                      !hint.empty() ? fmt::format("; did you mean `{}`?", hint)
                                    : "; it has: " + (known.empty() ? std::string("none")
                                                                    : fmt::format("{}", fmt::join(known, ", "))));
        }
        RETORT_TRY(apply_set(recipe.set, set, SetAs::Yaml));
      } else {
        const std::string id = name.substr(0, dot);
        if (std::find(ids.begin(), ids.end(), id) == ids.end()) {
          const std::string hint = nearest(id, ids);
          return fail(Code::Invalid, "`--set {}`: this recipe has no step `{}`{}", set, id,
                      hint.empty() ? "" : fmt::format("; did you mean `{}`?", hint));
        }
        RETORT_TRY(apply_set(steps[id], set.substr(dot + 1), SetAs::Yaml));
      }
    }
    size_t filled = 0;
    for (auto& [id, body] : steps.items()) {
      Step step;
      step.id = id;
      auto kind = need_string(body, "do");
      if (!kind.ok()) return within("step `" + id + "`", std::move(kind).error());
      step.kind = *kind;
      step.options = body;
      step.options.erase("do");
      Filler filler(recipe.set, ids, filled);
      RETORT_TRY(filler.fill(step.options, id));
      step.after = filler.after;
      recipe.steps.push_back(std::move(step));
    }
    RETORT_TRY(order_steps(recipe.steps));
    recipe.report = root.contains("report") ? root["report"] : Json();
    if (!recipe.report.is_null()) {
      Filler filler(recipe.set, ids, filled);
      RETORT_TRY(filler.fill(recipe.report, "report"));
    }
    return recipe;
  };
  auto recipe = build();
  if (!recipe.ok()) return within(path, std::move(recipe).error());
  return recipe;
}

std::string resolve_steps(const std::string& text, const Recipe& recipe, const std::string& out) {
  std::string resolved = text;
  for (const Step& step : recipe.steps) resolved = replace_all(resolved, "${" + step.id + "}", out + "/" + step.id);
  return resolved;
}

}  // namespace retort::app
