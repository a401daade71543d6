// The only place of the program that reads keys from the environment.
#include <cstdlib>

#include "app/steps.h"

namespace retort::app {

Secret secret_from_environment(const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  return Secret(value == nullptr ? "" : value);
}

}  // namespace retort::app
