#include "verify/judge.h"

#include "base/text.h"

namespace retort::verify {

Judgement judge(std::string_view gold, std::string_view reply) {
  std::string want(trim(gold));
  const bool solution = want.size() > kShortLine || want.find('\n') != std::string::npos ||
                        want.find("\\boxed") != std::string::npos || want.find("####") != std::string::npos;
  if (solution) {
    if (const auto reference = extract_answer(want)) want = reference->text;
  }
  Judgement out;
  out.answer = extract_answer(reply);
  if (!out.answer) {
    out.how = "no_answer";
    return out;
  }
  const Verdict verdict = equal(want, out.answer->text);
  out.equal = verdict.equal;
  out.how = verdict.how;
  const std::string_view whole = trim(reply);
  if (!out.equal && out.answer->how == "last_number" && whole.size() <= kShortLine) {
    const Verdict again = equal(want, whole);
    if (again.equal) {
      out.equal = true;
      out.how = again.how;
      out.answer = Answer{std::string(whole), "line"};
    }
  }
  return out;
}

}  // namespace retort::verify
