// TextStream: from token bytes to text that may be shown. It ends the text before the stop string that is whole first
// (also where that spans tokens), holds back what may still become part of one or of a UTF-8 sequence, and splits a
// leading <think>...</think> into reasoning and content (model/think.h). Pieces taken one after another add up to the
// whole, whatever the token borders.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/think.h"

namespace retort::infer {

struct TextPiece {
  std::string text;       // as generated, marks included
  std::string reasoning;  // the thought, without marks and white space at its ends
  std::string content;    // the rest, without white space between it and the thought
};

class TextStream {
 public:
  // `split_thought`: a text that begins with <think> has reasoning. `in_thought`: the prompt already ended with
  // <think>, so the text begins inside.
  TextStream(std::vector<std::string> stops, bool split_thought, bool in_thought);

  // Appends a token's bytes and adds what may be shown now to `out`. True once a stop string was met: the text is
  // complete and nothing more may be pushed.
  bool push(std::string_view bytes, TextPiece& out);
  // The end of the text: adds what was held back.
  void finish(TextPiece& out);
  // The next token belongs to the thought, as far as shown text can tell.
  bool in_thought() const { return thinking_; }

 private:
  void show(std::string_view valid, bool last, TextPiece& out);

  std::vector<std::string> stops_;
  std::string pending_;  // bytes not shown yet
  bool split_thought_;
  bool thinking_;
  model::ThinkSplitter splitter_;
};

}  // namespace retort::infer
