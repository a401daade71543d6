#include "model/chat_turn.h"

#include <gtest/gtest.h>

#include "model/bpe_trainer.h"

namespace retort::model {
namespace {

Tokenizer tokenizer() {
  BpeTraining training;
  training.special_tokens = {"<|endoftext|>", "<|end|>", "<think>", "</think>"};
  training.eos_token = "<|endoftext|>";
  training.vocab_size = 260;
  return *train_bpe({}, training);
}

ChatPrompt prompt_of(const std::string& source) {
  const auto prompt = chat_prompt(tokenizer(), *ChatTemplate::parse(source), {{"user", "Q", "", nullptr}}, {});
  EXPECT_TRUE(prompt.ok());
  return *prompt;
}

TEST(ChatTurn, TheAnswerGoesOnWhereThePromptEnds) {
  // Whatever of "<think>\n" the template wrote, prompt and answer together have it once.
  for (const std::string end : {"", "<think>", "<think>\n", "<think>\n\n"}) {
    const ChatPrompt prompt = prompt_of("Q:" + (end.empty() ? "" : "{{ '" + end + "' }}"));
    EXPECT_EQ(prompt.in_thought, !end.empty()) << end;
    const std::string rest = end.size() > 8 ? "\n\n" : "\n";
    EXPECT_EQ(end + answer_text(prompt, "R", "C"), "<think>" + rest + "R\n</think>\n\nC") << end;
    EXPECT_EQ(end + answer_text(prompt, "", "C"), end.empty() ? "C" : "<think>" + rest + "\n</think>\n\nC") << end;
  }
  EXPECT_FALSE(prompt_of("<think>\n\n</think>\n\n").in_thought) << "a thought that the template closed";
}

TEST(ChatTurn, TheEndIsTheTemplatesOwn) {
  const Tokenizer t = tokenizer();
  const std::vector<int32_t> both = {0, 1}, first = {0};
  const auto end = [&](const char* source, std::span<const int32_t> ends) {
    return end_id(t, *ChatTemplate::parse(source), ends, {});
  };
  constexpr const char* kEnds = "{% for m in messages %}{{ m.content }}<|end|>\n{% endfor %}<|endoftext|>";
  EXPECT_EQ(end(kEnds, both), 1);
  EXPECT_EQ(end(kEnds, first), 0) << "only a token at which the model ends";
  EXPECT_EQ(end("{% for m in messages %}{{ m.content }}{% endfor %}", both), 0) << "the tokenizer's";
  EXPECT_EQ(end("{{ raise_exception('no') }}", both), 0);
  EXPECT_EQ(end("no answer shown", std::vector<int32_t>{3}), 3);
}

TEST(ChatTurn, MarksOfAThoughtAreTextAndOtherSpecialTokensAreNot) {
  const Tokenizer t = tokenizer();
  EXPECT_EQ(shown_bytes(t, *t.id_of("<think>")), "<think>");
  EXPECT_EQ(shown_bytes(t, *t.id_of("<|end|>")), "");
  const auto ids = *answer_ids(t, prompt_of("Q:"), "a<|end|>b", "c", 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 1);
  EXPECT_EQ(ids.front(), *t.id_of("<think>"));
  std::string shown;
  for (const int32_t id : ids) shown += shown_bytes(t, id);
  EXPECT_EQ(shown, "<think>\na<|end|>b\n</think>\n\nc");
}

}  // namespace
}  // namespace retort::model
