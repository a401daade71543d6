// Answers in a model's text: what is extracted is trimmed and not empty, and taken as a reference it is equal to
// itself.
#include "verify/answer.h"

#include "base/fuzz/target.h"
#include "base/text.h"
#include "verify/judge.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {"<think>2+2=5? no</think>So \\boxed{\\frac{1}{2}} it is.",
          "He has 3 left.\n#### 72",
          "The answer is **1,234.50**.",
          "A: (B)",
          "It costs $5.00 or -3/4 or 12%",
          "答案是 42。",
          "\\boxed 5 \\fbox{x",
          "<think>cut",
          "x = 7",
          "La réponse est : “12”.",
          "Die Antwort lautet 3 Äpfel!"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view text = fuzz::text_of(data, size);
  const verify::Stripped stripped = verify::strip_thought(text);
  RETORT_CHECK(stripped.text.size() <= text.size());
  const auto answer = verify::extract_answer(text);
  const verify::Judgement judged = verify::judge("42", text);
  RETORT_CHECK(judged.answer.has_value() == answer.has_value());
  if (!answer) {
    RETORT_CHECK(judged.how == "no_answer" && !judged.equal);
    return 0;
  }
  RETORT_CHECK(!answer->text.empty());
  RETORT_CHECK(trim(answer->text) == answer->text);
  const bool solution = answer->text.size() > verify::kShortLine || answer->text.find('\n') != std::string::npos ||
                        answer->text.find("\\boxed") != std::string::npos ||
                        answer->text.find("####") != std::string::npos;
  if (!solution) RETORT_CHECK(verify::judge(answer->text, text).equal);
  return 0;
}
