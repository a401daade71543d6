#include "app/step.h"

namespace retort::app {

const std::vector<StepKind>& step_kinds() {
  static const std::vector<StepKind> kinds;
  return kinds;
}

const StepKind* find_kind(const std::string& name) {
  for (const StepKind& kind : step_kinds()) {
    if (name == kind.name) return &kind;
  }
  return nullptr;
}

}  // namespace retort::app
