// The only place of the program that reads keys from the environment; headers that may hold one.
#include <cstdlib>

#include "app/steps.h"
#include "base/text.h"

namespace retort::app {
namespace {

bool names_a_key(std::string_view header) {
  const std::string name = lower_ascii(header);
  for (const char* part : {"auth", "key", "token", "secret", "cookie", "password"}) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

Secret secret_from_environment(const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  return Secret(value == nullptr ? "" : value);
}

Result<wire::ExtraHeaders> extra_headers(const std::vector<std::string>& lines, Env& env) {
  wire::ExtraHeaders out;
  for (const std::string& line : lines) {
    const size_t colon = line.find(':');
    const std::string name(trim(std::string_view(line).substr(0, colon)));
    if (colon == std::string::npos || name.empty())
      return fail(Code::Invalid, "`headers` has an entry without `Name: value`; write `api-key: env:VARIABLE`");
    const std::string_view value = trim(std::string_view(line).substr(colon + 1));
    if (value.starts_with("env:")) {
      const std::string variable(value.substr(4));
      Secret secret = secret_from_environment(variable);
      if (secret.empty())
        return fail(Code::Invalid, "header `{}`: the environment variable `{}` is not set", name, variable);
      out.secret.emplace_back(name, std::move(secret));
    } else if (value.starts_with("file:")) {
      auto text = env.read_file(std::string(value.substr(5)));
      if (!text.ok()) return within("header `" + name + "`", std::move(text).error());
      out.secret.emplace_back(name, Secret(std::string(trim(*text))));
    } else if (names_a_key(name)) {
      return fail(Code::Invalid,
                  "header `{}` holds a key that is written out; write `{}: env:VARIABLE` or `{}: file:PATH`", name,
                  name, name);
    } else {
      out.plain.emplace_back(name, std::string(value));
    }
  }
  return out;
}

}  // namespace retort::app
