// A run's files as the report reads them: the first byte says which one is the input, the others are sound. A report is
// made, as text, JSON and page, or the file is refused.
#include "app/report.h"

#include "base/env.h"
#include "base/fuzz/target.h"

namespace {

constexpr const char* kScores =
    R"({"id":"a","prompt_id":"p","sample":0,"model":"m","task":"t","gold":"4","pred":"4","correct":true,"how":"number","content":"4","finish_reason":"stop","tokens":9})"
    "\n"
    R"({"id":"b","prompt_id":"q","sample":0,"model":"m","task":"t","gold":"4","pred":"5","correct":false,"how":"number","content":"5","finish_reason":"length","tokens":70})"
    "\n";

struct File {
  const char* path;
  const char* text;
};
constexpr File kFiles[] = {
    {"test/scores.jsonl", kScores},
    {"test/questions.json", R"({"p":"2+2?","q":"1+3?"})"},
    {"fit/tally.json", R"({"in":3,"kept":1,"dropped":2,"reasons":{"loop":2},"counts":{}})"},
    {"fit/train_report.json",
     R"({"steps":2,"parameters":100,"tokens":60,"flops":1e9,"data":{"examples":3,"cut":1},"run":{"seconds":1.5}})"},
    {"fit/train_log.jsonl",
     "{\"step\":1,\"loss\":2.5,\"lr\":0.1,\"tokens\":30}\n{\"step\":2,\"loss\":2,\"tokens\":30}\n"},
    {"costs.jsonl",
     "{\"stage\":\"fit\",\"run\":\"1\",\"state\":\"failed\",\"flops\":1e9,\"seconds\":2,\"usd_micros\":7}\n"},
    // The recipe's `report` section, given as JSON.
    {"section.json",
     R"({"evals":[{"step":"test","label":"A"},{"step":"test","label":"B"}],"comparisons":[["A","B"]],"samples":2})"}};
constexpr size_t kSection = std::size(kFiles) - 1;

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  std::vector<std::string> out;
  for (size_t i = 0; i < std::size(kFiles); ++i) out.push_back(static_cast<char>(i) + std::string(kFiles[i].text));
  // What once broke it.
  out.push_back(std::string(1, '\0') + R"({"id":"a","prompt_id":"p","tokens":-1000})");
  out.push_back(std::string(1, '\3') + R"({"parameters":"many"})");
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  static const fuzz::Folder folder;
  std::string_view input = fuzz::text_of(data, size);
  const size_t which = fuzz::take_choice(input, std::size(kFiles));
  std::string out;
  for (size_t i = 0; i < kSection; ++i) {
    const std::string path = folder.put(kFiles[i].path, i == which ? input : kFiles[i].text);
    out = path.substr(0, path.size() - std::string_view(kFiles[i].path).size() - 1);
  }
  app::Recipe recipe;
  recipe.name = "quick";
  recipe.steps = {{"fit", "train", Json::object(), {}}, {"test", "eval", Json::object(), {"fit"}}};
  // Comparisons draw thousands of resamples: only the section's own inputs ask for them.
  const auto section = parse_json(which == kSection ? input : R"({"comparisons":[]})");
  if (section.ok()) recipe.report = *section;
  const std::vector<app::StepReport> steps = {{"fit", "train", true, {}, 1.5, "ab", {}},
                                              {"test", "eval", true, {}, 0.5, "cd", {}}};
  const auto report = app::gather_report(recipe, steps, out, Json::object(), system_env());
  if (!report.ok()) {
    fuzz::check_refusal(report.error());
    return 0;
  }
  RETORT_CHECK(report->dump() == to_text(*report));
  RETORT_CHECK(!app::report_text(*report).empty());
  return 0;
}
