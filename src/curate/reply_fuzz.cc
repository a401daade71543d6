// A teacher's texts as curate reads them: the grader's verdict, loops, and leaks of identity. What was mended holds no
// leak any more, and a loop of one byte is found whatever it is.
#include "base/fuzz/target.h"
#include "base/text.h"
#include "curate/grader.h"
#include "curate/held_out.h"
#include "curate/identity.h"
#include "curate/loop.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {"It adds up.\n**VERDICT:** CORRECT",
          "verdict: wrong",
          "As ChatGPT, a model by OpenAI, I think 2+2 is 4. It is. I am Claude.",
          "wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait "
          "wait wait wait wait wait wait wait wait wait wait wait wait wait wait wait",
          "What is 12 + 7 times the sum of 3 and 4?",
          "Ich bin ein Sprachmodell von OpenAI. Je suis "
          "DeepSeek-R1.\xE6\x88\x91\xE6\x98\xAF\xE9\x80\x9A\xE4\xB9\x89\xE5\x8D\x83\xE9\x97\xAE\xE3\x80\x82"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view text = fuzz::text_of(data, size);
  const auto graded = curate::parse_grade(std::string(text) + "\nVERDICT: WRONG");
  RETORT_CHECK(graded == curate::Grade::Wrong);
  (void)curate::parse_grade(text);

  (void)curate::find_loop(text, {});
  const std::string_view visible = trim(text);
  if (!visible.empty())
    RETORT_CHECK(!curate::find_loop(std::string(visible) + std::string(1000, visible.back()), {}).empty());

  const curate::Scrub scrub = curate::scrub_identity(text, "Who?", {"Owner"});
  RETORT_CHECK(scrub.text.size() <= text.size() + 8);
  if (scrub.removed == 0 && scrub.whole) RETORT_CHECK(scrub.text == text);

  const std::string normal = curate::normalise_question(text);
  RETORT_CHECK(curate::normalise_question(normal) == normal);
  curate::HeldOut held(8);
  held.add(text);
  if (!normal.empty()) RETORT_CHECK(!held.match(text).empty());
  (void)curate::commute_question(text);
  return 0;
}
