#include "app/step.h"

#include "app/steps.h"

namespace retort::app {

const std::vector<StepKind>& step_kinds() {
  static const std::vector<StepKind> kinds = {problems_step(), split_step(), collect_step(),
                                              curate_step(),   train_step(), eval_step()};
  return kinds;
}

const StepKind* find_kind(const std::string& name) {
  for (const StepKind& kind : step_kinds()) {
    if (name == kind.name) return &kind;
  }
  return nullptr;
}

}  // namespace retort::app
