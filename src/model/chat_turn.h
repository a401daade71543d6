// A turn of a chat as ids: what a model reads before it answers, and what it has to write to give an answer. Engine and
// trainer both call this, so that a student is asked in the very ids that it was taught.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "model/chat_template.h"
#include "model/config.h"
#include "model/tokenizer.h"
#include "record/message.h"

namespace retort::model {

// What a template sees beside the messages.
struct ChatSettings {
  Json variables;      // extra variables (tools, enable_thinking), null where none
  int64_t now_us = 0;  // as RenderOptions::now_us
  // Asked of the rendered prompt before it is made ids, which takes longer; its error is chat_prompt's.
  std::function<Status(std::string_view text)> admit;
  const Cancel* cancel = nullptr;  // ends the rendering
};

struct ChatPrompt {
  std::vector<int32_t> ids;
  bool in_thought = false;  // it ends inside a thought: the template wrote <think> itself
  std::string thought;      // what an answer with a thought writes before it: the part of "<think>\n" that is missing
};

// The conversation up to where the assistant starts. Errors: ChatTemplate::render's, admit's and
// Tokenizer::encode's.
Result<ChatPrompt> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat,
                               const std::vector<Message>& messages, const ChatSettings& settings);

// What the model writes after `prompt` to give this thought ("" for none) and this content, without the end token.
std::string answer_text(const ChatPrompt& prompt, std::string_view reasoning, std::string_view content);
// The same as ids, `end` after them. Texts of special tokens in the answer stay text.
Result<std::vector<int32_t>> answer_ids(const Tokenizer& tokenizer, const ChatPrompt& prompt,
                                        std::string_view reasoning, std::string_view content, int32_t end);

// The tokens that end a model's turn: its config's, or else its tokenizer's; empty where neither names one.
std::vector<int32_t> end_ids(const Config& config, const Tokenizer& tokenizer);
// Which of `ends` a model is taught to end its turn with: the one that the template writes behind an answer, or else
// the tokenizer's, or else the first. Precondition: `ends` is not empty.
int32_t end_id(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const int32_t> ends,
               const ChatSettings& settings);

// What a sampled token adds to the text. Special tokens steer and add nothing; the marks of a thought are text, however
// they are declared.
std::string_view shown_bytes(const Tokenizer& tokenizer, int32_t id);

// Noon UTC of a day written YYYY-MM-DD, in microseconds since 1970. Errors: Invalid.
Result<int64_t> noon_of(const std::string& day);

}  // namespace retort::model
