// Two answers (a zero byte between them): every answer equals itself, reading one does not depend on the other's side
// where both are numbers, and answers that are equal as numbers, choices or text get one vote key.
#include "verify/equal.h"

#include "base/fuzz/target.h"
#include "base/text.h"
#include "verify/number.h"

std::vector<std::string> retort::fuzz::seeds() {
  std::vector<std::string> out;
  for (const auto& [gold, pred] : {std::pair{"1/2", "0.50"},
                                   {"\\frac{1}{2}", "\\dfrac12"},
                                   {"1,234", "$1234.00"},
                                   {"50%", "50\\%"},
                                   {"(B)", "b) 12"},
                                   {"x = 3", "3 apples"},
                                   {"1 1/2", "1.5"},
                                   {"2.5e3", "2500"},
                                   {"-−3", "minus three"},
                                   {"\\text{yes}", "Yes."},
                                   {"3 million", "3000000"},
                                   {"\\{1, 2\\}", "{1,2}"},
                                   {"1e400", "1e401"},
                                   {"½", "10^{-3}"}})
    out.push_back(std::string(gold) + '\0' + pred);
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  std::string_view input = fuzz::text_of(data, size);
  const std::string_view gold = fuzz::take_until(input, '\0'), pred = input;
  for (const std::string_view answer : {gold, pred}) {
    const verify::Verdict self = verify::equal(answer, answer);
    RETORT_CHECK(self.equal == !trim(answer).empty());
    if (trim(answer).empty()) RETORT_CHECK(verify::vote_key(answer).empty());
    if (answer.size() <= verify::kMaxAnswerBytes) {
      const std::string once = verify::undressed(answer);
      RETORT_CHECK(verify::undressed(once) == once);
    }
  }
  const verify::Verdict one = verify::equal(gold, pred), other = verify::equal(pred, gold);
  if (one.how == other.how) RETORT_CHECK(one.equal == other.equal);
  if (one.equal && other.equal && (one.how == "number" || one.how == "choice" || one.how == "text") &&
      one.how == other.how)
    RETORT_CHECK(verify::vote_key(gold) == verify::vote_key(pred));
  return 0;
}
