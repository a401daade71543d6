// One line of a record file, read as each kind of record (the first byte says which): what was read is written in one
// form, and that form reads back to the same bytes.
#include "base/fuzz/target.h"
#include "record/example.h"
#include "record/prompt.h"
#include "record/reject.h"
#include "record/score.h"
#include "record/tally.h"
#include "record/trace.h"

namespace {

template <class Record>
void check(std::string_view line) {
  using namespace retort;
  const auto json = parse_json(line);
  if (!json.ok()) return fuzz::check_refusal(json.error());
  Record record;
  if (const Status status = decode(*json, record); !status.ok()) return fuzz::check_refusal(status.error());
  const std::string text = to_text(encode(record));
  const auto again = parse_json(text);
  RETORT_CHECK(again.ok());
  Record read;
  RETORT_CHECK(decode(*again, read).ok());
  RETORT_CHECK(to_text(encode(read)) == text);
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  const std::string message =
      R"([{"role":"user","content":"2+2?"},{"role":"assistant","content":"4","reasoning_content":"2 and 2","name":"x"}])";
  const std::string question =
      R"([{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"2+2?"}]}])";
  return {
      "a" + message,
      R"(b{"id":"p","messages":)" + question + R"(,"answer":"4","task":"t","meta":{"a":1}})",
      R"(b{"question":"Q","answer":"so 70 + 2 = <<70+2=72>>72\n#### 72"})",
      R"(b{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"<think>x</think>yes"}]})",
      R"(b{"instruction":"Add","input":"1 2","expected":3})",
      R"(c{"id":"t","prompt_id":"p","sample":1,"messages":)" + question +
          R"(,"answer":"4","task":"t","reasoning":"r","content":"c","finish_reason":"stop","teacher":"T","model":"m","permission_hash":"h","raw_hash":"h","params":{"n":1},"usage":{"prompt_tokens":3,"completion_tokens":4,"reasoning_tokens":1}})",
      R"(d{"id":"e","parents":["t","u"],"prompt_id":"p","messages":)" + question +
          R"(,"reasoning":"r","content":"c","answer":"4","how":"vote","task":"t","teacher":"T","permission_hash":"h"})",
      R"(e{"id":"s","prompt_id":"p","sample":2147483647,"model":"m","task":"t","gold":"4","pred":"5","correct":true,"how":"number","reasoning":"","content":"","finish_reason":"length","tokens":9})",
      R"(f{"id":"x","stage":"curate","reason":"loop","detail":"d"})",
      R"(g{"in":3,"kept":1,"dropped":2,"reasons":{"loop":2},"counts":{"mended":1}})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  std::string_view line = fuzz::text_of(data, size);
  constexpr void (*kChecks[])(std::string_view) = {check<std::vector<Message>>,
                                                   check<Prompt>,
                                                   check<Trace>,
                                                   check<Example>,
                                                   check<Score>,
                                                   check<Reject>,
                                                   check<Tally>};
  // 'a' is the first of them.
  kChecks[(fuzz::take_choice(line, 256) + 256 - 'a') % std::size(kChecks)](line);
  return 0;
}
