// Configuration from one description. An Options struct lists its fields once:
//
//   struct Options {
//     int samples = 4;
//     template <class V> void fields(V&& v) { v("samples", samples, "answers asked of the teacher for each prompt"); }
//   };
//
// and gets from it: reading from YAML/JSON with unknown keys refused (and the nearest known one named), `--set a.b=c`,
// command-line flags and help, a JSON Schema for editors, and the canonical form whose hash goes into provenance.
// Field types: bool, int, int64_t, uint64_t, double, std::optional<double> ("unset" or null where it is absent),
// std::string, std::vector<std::string>, and structs with fields().
// A fourth argument says what else is known of the value, which reading checks: `{.low = 1, .high = 64}`,
// `{.one_of = "full, lora"}`, `{.path = true}`. Non-goal: rules between fields; each stage checks its own Options.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "base/result.h"
#include "base/text.h"

namespace retort {

// What is known of a field besides its type.
struct About {
  bool path = false;  // the value names a file or folder that is read: its content counts, not its name
  bool how = false;   // says how the work is done, not what it makes (keys, threads): no part of a result's identity
  bool required = false;                                  // the default will not do
  double low = -std::numeric_limits<double>::infinity();  // of numbers
  double high = std::numeric_limits<double>::infinity();
  double above = -std::numeric_limits<double>::infinity();  // a lower bound that is not included
  std::string one_of = {};                                  // of strings: what there is, separated by ", "
  std::string no_path = {};                                 // of paths: a word that stands for itself
  std::string or_name = {};  // of paths: the field beside it that, where it is given, makes this value a name
};

// One leaf of an Options tree, for help, flags and schema.
struct OptionField {
  std::string path;  // "optimizer.beta1"
  std::string type;  // "boolean", "integer", "number", "string", "array" (of strings): JSON Schema's words
  Json value;        // current value, the default for a fresh struct
  std::string help;
  About about;
};

namespace options_detail {

template <class T>
concept Nested = requires(T& t) { t.fields([](std::string_view, auto&, std::string_view, const About& = {}) {}); };

template <class T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "boolean";
  else if constexpr (std::is_integral_v<T>)
    return "integer";
  else if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, std::optional<double>>)
    return "number";
  else if constexpr (std::is_same_v<T, std::string>)
    return "string";
  else
    return "array";
}

// A leaf's value as JSON; null where an optional one is absent.
template <class T>
Json leaf_json(const T& field) {
  if constexpr (std::is_same_v<T, std::optional<double>>)
    return field ? Json(*field) : Json();
  else
    return field;
}

// Reads `value` (or its text form, as from the command line) into `out`. Out of line for the leaf types.
Status read_leaf(bool& out, const Json& value, std::string_view where);
Status read_leaf(int& out, const Json& value, std::string_view where);
Status read_leaf(int64_t& out, const Json& value, std::string_view where);
Status read_leaf(uint64_t& out, const Json& value, std::string_view where);
Status read_leaf(double& out, const Json& value, std::string_view where);
Status read_leaf(std::optional<double>& out, const Json& value, std::string_view where);
Status read_leaf(std::string& out, const Json& value, std::string_view where);
Status read_leaf(std::vector<std::string>& out, const Json& value, std::string_view where);

// Invalid where the value is not as `about` says.
Status check_leaf(const Json& value, const About& about, std::string_view where);

// Invalid, naming the first member of `object` that `known` lacks and the nearest one it has.
Status check_keys(const Json& object, const std::vector<std::string>& known, std::string_view where);

// The words of `one_of`.
std::vector<std::string> choices(const About& about);

inline std::string join(std::string_view where, std::string_view name) {
  return where.empty() ? std::string(name) : std::string(where) + "." + std::string(name);
}

}  // namespace options_detail

// Overwrites the fields that `object` names; the rest keep their values. `where` prefixes names in errors.
template <class O>
Status load_options(O& options, const Json& object, std::string_view where = "") {
  if (!object.is_object())
    return fail(Code::Invalid, "`{}` must be a map of options, not {}", where, object.type_name());
  std::vector<std::string> known;
  options.fields([&](std::string_view name, auto&, std::string_view, const About& = {}) { known.emplace_back(name); });
  RETORT_TRY(options_detail::check_keys(object, known, where));
  Status status;
  options.fields([&](std::string_view name, auto& field, std::string_view, const About& about = {}) {
    const Json* value = find(object, name);
    if (value == nullptr || !status.ok()) return;
    using T = std::remove_cvref_t<decltype(field)>;
    if constexpr (options_detail::Nested<T>)
      status = load_options(field, *value, options_detail::join(where, name));
    else
      status = options_detail::read_leaf(field, *value, options_detail::join(where, name));
    if constexpr (!options_detail::Nested<T>) {
      if (status.ok())
        status = options_detail::check_leaf(options_detail::leaf_json(field), about, options_detail::join(where, name));
    }
  });
  return status;
}

// Invalid where a value is not as its field says; for structs that no text was read into.
template <class O>
Status check_options(const O& options, std::string_view where = "") {
  Status status;
  const_cast<O&>(options).fields([&](std::string_view name, auto& field, std::string_view, const About& about = {}) {
    if (!status.ok()) return;
    using T = std::remove_cvref_t<decltype(field)>;
    if constexpr (options_detail::Nested<T>)
      status = check_options(field, options_detail::join(where, name));
    else
      status = options_detail::check_leaf(options_detail::leaf_json(field), about, options_detail::join(where, name));
  });
  return status;
}

// A visitor that puts `prefix` before the names: for a struct whose fields stand among another's.
template <class V>
auto prefixed(std::string prefix, V& v) {
  return [prefix = std::move(prefix), &v](std::string_view name, auto& field, std::string_view help, About about = {}) {
    if (!about.or_name.empty()) about.or_name = prefix + about.or_name;
    v(prefix + std::string(name), field, help, about);
  };
}

// Every field, nested structs as objects, in the order of fields().
template <class O>
Json dump_options(const O& options) {
  Json object = Json::object();
  const_cast<O&>(options).fields([&](std::string_view name, auto& field, std::string_view, const About& = {}) {
    using T = std::remove_cvref_t<decltype(field)>;
    if constexpr (options_detail::Nested<T>)
      object[std::string(name)] = dump_options(field);
    else
      object[std::string(name)] = options_detail::leaf_json(field);
  });
  return object;
}

template <class O>
void list_options(const O& options, std::vector<OptionField>& out, std::string_view where = "") {
  const_cast<O&>(options).fields(
      [&](std::string_view name, auto& field, std::string_view help, const About& about = {}) {
        using T = std::remove_cvref_t<decltype(field)>;
        if constexpr (options_detail::Nested<T>)
          list_options(field, out, options_detail::join(where, name));
        else
          out.push_back({options_detail::join(where, name), options_detail::type_name<T>(),
                         options_detail::leaf_json(field), std::string(help), about});
      });
}

// JSON Schema (draft 2020-12) of the struct, with defaults and descriptions.
template <class O>
Json options_schema(const O& options) {
  Json properties = Json::object();
  const_cast<O&>(options).fields(
      [&](std::string_view name, auto& field, std::string_view help, const About& about = {}) {
        using T = std::remove_cvref_t<decltype(field)>;
        Json& p = properties[std::string(name)];
        if constexpr (options_detail::Nested<T>) {
          p = options_schema(field);
        } else {
          p = {{"type", options_detail::type_name<T>()}, {"default", options_detail::leaf_json(field)}};
          if constexpr (std::is_same_v<T, std::optional<double>>) p["type"] = {"number", "null"};
          if constexpr (std::is_same_v<T, std::vector<std::string>>) p["items"] = {{"type", "string"}};
          if (std::isfinite(about.low)) p["minimum"] = about.low;
          if (std::isfinite(about.above)) p["exclusiveMinimum"] = about.above;
          if (std::isfinite(about.high)) p["maximum"] = about.high;
          for (const std::string_view choice : options_detail::choices(about)) p["enum"].push_back(choice);
        }
        if (!help.empty()) p["description"] = help;
      });
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", properties}};
}

// SHA-256 of the canonical form: equal options, equal hash, whatever file they came from.
template <class O>
std::string options_hash(const O& options) {
  return sha256(to_text(dump_options(options)));
}

// `a.b.c=value` into a nested object {"a":{"b":{"c":value}}} merged into `into`. The value is kept as text, to be read
// by its field's type later, or read as YAML, so that it is stored as a recipe would store it.
enum class SetAs { Text, Yaml };
Status apply_set(Json& into, std::string_view assignment, SetAs as = SetAs::Text);

// YAML text as JSON: plain scalars become null, booleans, integers, doubles or strings by YAML 1.2's core schema;
// quoted scalars are strings. Errors: Invalid with line and column. Anchors are resolved, duplicate keys refused, depth
// bounded, UTF-8 demanded.
Result<Json> parse_yaml(std::string_view text);

}  // namespace retort
