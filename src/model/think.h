// ThinkSplitter: parts a generated text into the thought inside <think>...</think> at its start and the content after
// it, piece by piece as text arrives, so that a stream's parts add up to the whole's. White space around the thought
// and before the content belongs to the marks. A thought that is never closed is all thought.
#pragma once

#include <string>
#include <string_view>

namespace retort::model {

// The marks of a thought.
inline constexpr std::string_view kThinkOpen = "<think>", kThinkClose = "</think>";
constexpr bool is_think_mark(std::string_view text) { return text == kThinkOpen || text == kThinkClose; }

class ThinkSplitter {
 public:
  // `inside`: the text begins within a thought, as with templates that open it in the prompt.
  explicit ThinkSplitter(bool inside = false) : state_(inside ? State::ThoughtStart : State::Start) {}
  // Appends what `piece` settles; bytes that may begin a mark wait for the next piece.
  void feed(std::string_view piece, std::string& reasoning, std::string& content);
  // The text has ended: what waited is settled.
  void finish(std::string& reasoning, std::string& content);

 private:
  enum class State { Start, ThoughtStart, Thought, ContentStart, Content };
  State state_;
  std::string held_;
};

// The whole text at once. A text without an opening mark but with a closing one is read as `inside`.
void split_think(std::string_view text, std::string& reasoning, std::string& content);

}  // namespace retort::model
