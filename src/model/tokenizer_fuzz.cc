// tokenizer.json and the text that goes through it (a zero byte between them; without one, the text goes through a
// fixed tokenizer): ids lie in the vocabulary, a vocabulary of all bytes gives the text back, and a tokenizer that was
// written and read again gives the same ids.
#include "model/tokenizer.h"

#include "base/fuzz/target.h"
#include "base/text.h"
#include "model/bpe_trainer.h"

namespace {

using retort::model::Tokenizer;

const Tokenizer& fixed() {
  static const Tokenizer tokenizer = [] {
    retort::model::BpeTraining training;
    training.vocab_size = 290;
    training.special_tokens = {"<s>", "</s>", "<|im_start|>"};
    training.bos_token = "<s>";
    training.eos_token = "</s>";
    auto made =
        retort::model::train_bpe({"the cat and the hat and the bat", "12 + 34 = 46", "\xC3\xA9t\xC3\xA9"}, training);
    RETORT_CHECK(made.ok());
    return std::move(*made);
  }();
  return tokenizer;
}

void check(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool add_special : {false, true}) {
    const auto encoded = tokenizer.encode(text, add_special);
    if (!encoded.ok()) return retort::fuzz::check_refusal(encoded.error());
    const std::vector<int32_t>& ids = *encoded;
    for (const int32_t id : ids) RETORT_CHECK(id >= 0 && id < tokenizer.vocab_size());
    const std::string back = tokenizer.decode(ids, false);
    RETORT_CHECK(retort::is_utf8(back));
    (void)tokenizer.decode(ids, true);
  }
  (void)tokenizer.encode_prompt(text);
}

constexpr const char* kSmall =
    R"j({"added_tokens":[{"id":4,"content":"<s>","special":true,"lstrip":true,"rstrip":true,"single_word":true,"normalized":false}],)j"
    R"j("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"String":"x"},"content":"y"}]},)j"
    R"j("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"Split","pattern":{"Regex":" ?\\p{L}+|\\s+(?!\\S)"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":false}]},)j"
    R"j("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[4],"tokens":["<s>"]}}},)j"
    R"j("decoder":{"type":"ByteLevel"},"model":{"type":"BPE","unk_token":null,"fuse_unk":false,"ignore_merges":true,"vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"<s>":4},"merges":["a b"]}})j";

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  std::string whole = fixed().to_json();
  return {"the <s>cat\r\n 12345 \xC3\xA9\xF0\x9F\x98\x80 <|im_start|>", "\xFF\xF0\x9F half",
          kSmall + std::string("\0ab <s> abba", 13), whole + '\0' + "the hat 12"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  std::string_view input = fuzz::text_of(data, size);
  if (input.find('\0') == std::string_view::npos) {
    check(fixed(), input);
    RETORT_CHECK(fixed().decode(*fixed().encode(input, false), false) == to_utf8(input));
    return 0;
  }
  const std::string_view json = fuzz::take_until(input, '\0');
  const auto tokenizer = Tokenizer::from_json(json);
  if (!tokenizer.ok()) {
    fuzz::check_refusal(tokenizer.error());
    return 0;
  }
  check(*tokenizer, input);
  const auto again = Tokenizer::from_json(tokenizer->to_json());
  RETORT_CHECK(again.ok());
  const auto first = tokenizer->encode(input, true), second = again->encode(input, true);
  RETORT_CHECK(first.ok() == second.ok() && (!first.ok() || *first == *second));
  return 0;
}
