#include "verify/judge.h"

#include "base/text.h"
#include "verify/date.h"
#include "verify/stated.h"

namespace retort::verify {
namespace {

Verdict same(Kind kind, std::string_view want, std::string_view said) {
  if (kind != Kind::Date) return equal(want, said);
  return {read_date(want) == read_date(said), "date"};
}

}  // namespace

std::string reference_of(std::string_view gold) {
  std::string want(trim(gold));
  const bool solution = want.size() > kShortLine || want.find('\n') != std::string::npos ||
                        want.find("\\boxed") != std::string::npos || want.find("####") != std::string::npos;
  if (solution) {
    if (const auto reference = extract_answer(want)) want = reference->text;
  }
  return want;
}

Judgement judge(std::string_view gold, std::string_view reply) {
  const std::string want = reference_of(gold);
  Judgement out;
  out.answer = extract_answer(reply);
  if (out.answer) {
    const Verdict verdict = equal(want, out.answer->text);
    out.equal = verdict.equal;
    out.how = verdict.how;
    if (out.equal) return out;
    const std::string_view whole = trim(reply);
    if (out.answer->how == "last_number" && whole.size() <= kShortLine) {
      const Verdict again = equal(want, whole);
      if (again.equal) {
        out.equal = true;
        out.how = again.how;
        out.answer = Answer{std::string(whole), "line"};
        return out;
      }
    }
  }
  const Kind kind = kind_of(want);
  const bool announced =
      out.answer && (out.answer->how == "boxed" || out.answer->how == "hash" || out.answer->how == "phrase");
  const std::string scope = announced ? out.answer->text : strip_thought(reply).text;
  const bool whole_already = announced && kind == Kind::Text;  // "Lyon, whose rival is Paris" is one answer
  auto said = whole_already ? std::nullopt : stated(kind, scope);
  if (said) {
    const Verdict verdict = same(kind, want, said->text);
    out.equal = verdict.equal;
    out.how = verdict.how;
    if (announced) said->how = out.answer->how;
    out.answer = std::move(said);
  } else if (!out.answer) {
    out.how = "no_answer";
  }
  return out;
}

}  // namespace retort::verify
