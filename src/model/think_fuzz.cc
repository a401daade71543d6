// Thoughts in generated text: the parts do not depend on where the text was cut into pieces, and nothing but marks and
// white space is lost.
#include "model/think.h"

#include "base/fuzz/target.h"
#include "base/text.h"

namespace {

struct Parts {
  std::string reasoning, content;
  bool operator==(const Parts&) const = default;
};

Parts parts_of(const std::vector<std::string_view>& pieces, bool inside) {
  retort::model::ThinkSplitter splitter(inside);
  Parts out;
  for (const std::string_view piece : pieces) splitter.feed(piece, out.reasoning, out.content);
  splitter.finish(out.reasoning, out.content);
  return out;
}

std::string bare(std::string text) {
  for (const char* mark : {"<think>", "</think>", " ", "\t", "\r", "\n"}) text = retort::replace_all(text, mark, "");
  return text;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {"<think>2 and 2</think>\n\n4",
          "  <think>\n\n</think> x",
          "no thought",
          "in it</think> out <think>again</think>",
          "<think>never closed  ",
          "<thi",
          "<think><think>a</think>b</think>c"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view text = fuzz::text_of(data, size);
  for (const bool inside : {false, true}) {
    const Parts whole = parts_of({text}, inside);
    RETORT_CHECK(parts_of(fuzz::cut(text), inside) == whole);
    RETORT_CHECK(whole.reasoning.size() + whole.content.size() <= text.size());
    RETORT_CHECK(bare(bare(whole.reasoning) + bare(whole.content)) == bare(bare(std::string(text))));
  }
  Parts split;
  model::split_think(text, split.reasoning, split.content);
  RETORT_CHECK(split == parts_of({text}, true) || split == parts_of({text}, false));
  return 0;
}
