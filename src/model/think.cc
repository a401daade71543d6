#include "model/think.h"

#include <algorithm>

namespace retort::model {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Length of the longest proper prefix of `mark` that `text` ends with.
size_t open_end(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == mark.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

void ThinkSplitter::feed(std::string_view piece, std::string& reasoning, std::string& content) {
  if (state_ == State::Content) {
    content += piece;
    return;
  }
  held_ += piece;
  for (;;) {
    const size_t first = held_.find_first_not_of(kSpace);
    switch (state_) {
      case State::Start: {
        if (first == std::string::npos) return;
        const std::string_view rest = std::string_view(held_).substr(first);
        if (rest.substr(0, kThinkOpen.size()) == kThinkOpen) {
          held_.erase(0, first + kThinkOpen.size());
          state_ = State::ThoughtStart;
          continue;
        }
        if (rest.size() < kThinkOpen.size() && kThinkOpen.substr(0, rest.size()) == rest) return;
        state_ = State::Content;
        content += held_;
        held_.clear();
        return;
      }
      case State::ThoughtStart:
      case State::ContentStart:
        if (first == std::string::npos) {
          held_.clear();
          return;
        }
        held_.erase(0, first);
        if (state_ == State::ThoughtStart) {
          state_ = State::Thought;
          continue;
        }
        state_ = State::Content;
        content += held_;
        held_.clear();
        return;
      case State::Thought: {
        const size_t close = held_.find(kThinkClose);
        if (close != std::string::npos) {
          const size_t last = std::string_view(held_).substr(0, close).find_last_not_of(kSpace);
          if (last != std::string::npos) reasoning.append(held_, 0, last + 1);
          held_.erase(0, close + kThinkClose.size());
          state_ = State::ContentStart;
          continue;
        }
        // White space before a closing mark is the mark's, so it waits as well.
        const std::string_view sure = std::string_view(held_).substr(0, held_.size() - open_end(held_, kThinkClose));
        const size_t last = sure.find_last_not_of(kSpace);
        if (last == std::string_view::npos) return;
        reasoning.append(held_, 0, last + 1);
        held_.erase(0, last + 1);
        return;
      }
      case State::Content: return;
    }
  }
}

void ThinkSplitter::finish(std::string& reasoning, std::string& content) {
  if (state_ == State::Start) content += held_;
  if (state_ == State::Thought) {
    const size_t last = held_.find_last_not_of(kSpace);
    if (last != std::string::npos) reasoning.append(held_, 0, last + 1);
  }
  held_.clear();
  state_ = State::Content;
}

void split_think(std::string_view text, std::string& reasoning, std::string& content) {
  const size_t close = text.find(kThinkClose);
  ThinkSplitter splitter(close != std::string_view::npos &&
                         text.substr(0, close).find(kThinkOpen) == std::string_view::npos);
  splitter.feed(text, reasoning, content);
  splitter.finish(reasoning, content);
}

}  // namespace retort::model
