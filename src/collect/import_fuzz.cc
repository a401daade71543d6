// Rows of published data sets, one JSON object a line: every row comes out as a trace or as a reject, never as an error
// of the run.
#include "collect/import.h"

#include "base/env.h"
#include "base/fuzz/target.h"

namespace {

retort::collect::Permission permission() {
  retort::collect::Permission p;
  p.name = "T";
  p.endpoint = "import";
  p.licence = "MIT";
  p.clause = p.evidence = p.checked_by = "x";
  p.date = "2020-01-01";
  p.allowed_uses = {"distillation"};
  p.expires = "never";
  return p;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {R"({"question":"Q?","answer":"48/2 = <<48/2=24>>24 clips <<\n#### 24"})",
          R"({"id":"a","conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"<think>x</think>yes"}]})"
          "\n"
          R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","reasoning_content":"r"}]})",
          R"({"problem":"P","reasoning":"r","response":"s","expected":4})"
          "\n"
          R"({"prompt":"P","thought":1})"
          "\n{}\n[]",
          R"({"messages":[{"role":"user","content":"q"}],"meta":{"answered":[{"role":"assistant","content":"a"}]}})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  std::string_view text = fuzz::text_of(data, size);
  (void)collect::without_annotations(text);
  std::vector<collect::Row> rows;
  while (!text.empty()) {
    auto json = parse_json(fuzz::take_until(text, '\n'));
    if (json.ok()) rows.push_back({std::move(*json)});
  }
  const auto count = static_cast<int64_t>(rows.size());
  VectorSource<collect::Row> source(std::move(rows));
  VectorSink<Trace> kept;
  VectorSink<Reject> dropped;
  const auto tally = collect::run_import({}, permission(), source, kept, dropped, system_env());
  if (!tally.ok()) {
    RETORT_CHECK(tally.error().code == Code::Invalid && tally.error().message.find("earlier row") != std::string::npos);
    return 0;
  }
  RETORT_CHECK(tally->in == count && static_cast<int64_t>(kept.items.size() + dropped.items.size()) == count);
  return 0;
}
