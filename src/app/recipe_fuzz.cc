// Recipes with one `--set` (before the first zero byte, where there is one): steps of a recipe that is accepted stand
// after those they refer to, and its report section can be asked for.
#include "app/recipe.h"

#include "base/env.h"
#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  const std::string recipe =
      "name: quick\ntitle: \"A ${n}\"\nset: {n: 3, model: small}\nsteps:\n  make: {do: problems, train: \"${n}\", "
      "kinds: [a, b]}\n  fit:\n    do: train\n    data: \"${make}/train.jsonl\"\n    out: \"${model}-${n}\"\n    lora: "
      "{rank: 4}\n  test: {do: eval, models: [\"${fit}/model\"], prompts: \"${make}/test.jsonl\"}\nreport:\n  evals: "
      "[{step: test, label: \"${model}\"}]\n  comparisons: []\n";
  std::vector<std::string> out = {recipe, "name: x\nsteps: {a: {do: b, c: \"${b}\"}, b: {do: b, c: \"${a}\"}}\n"};
  for (const char* set : {"n=4", "fit.lora.rank=8", "make.kinds=[c]", "model="})
    out.push_back(set + std::string(1, '\0') + recipe);
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  static const fuzz::Folder folder;
  std::string_view text = fuzz::text_of(data, size);
  std::vector<std::string> sets;
  if (text.find('\0') != std::string_view::npos) sets.emplace_back(fuzz::take_until(text, '\0'));
  const std::string path = folder.put("recipe.yaml", text);
  const auto recipe = app::read_recipe(path, sets, system_env());
  if (!recipe.ok()) {
    fuzz::check_refusal(recipe.error());
    RETORT_CHECK(recipe.error().message.find(path) != std::string::npos);
    return 0;
  }
  std::vector<std::string> before;
  for (const app::Step& step : recipe->steps) {
    for (const std::string& id : step.after) RETORT_CHECK(std::find(before.begin(), before.end(), id) != before.end());
    before.push_back(step.id);
    for (const std::string& id : before)
      RETORT_CHECK(app::resolve_steps(to_text(step.options), *recipe, "out").find("${" + id + "}") ==
                   std::string::npos);
  }
  return 0;
}
