#include "infer/text_stream.h"

#include <algorithm>

#include "base/text.h"

namespace retort::infer {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>", kSpace = " \t\r\n";

// Length of the longest suffix of `text` that is a proper prefix of `word`.
size_t partial_match(std::string_view text, std::string_view word) {
  for (size_t length = std::min(text.size(), word.size() - 1); length > 0; --length)
    if (text.substr(text.size() - length) == word.substr(0, length)) return length;
  return 0;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stops, bool split_thought, bool in_thought)
    : stops_(std::move(stops)),
      mode_(!split_thought ? Mode::Content
            : in_thought   ? Mode::Thought
                           : Mode::Start),
      skip_space_(split_thought && in_thought) {
  for (const std::string& stop : stops_) longest_stop_ = std::max(longest_stop_, stop.size());
}

bool TextStream::push(std::string_view bytes, TextPiece& out) {
  pending_ += bytes;
  // A stop string lies in pending_ as a whole: whatever could begin one was held back.
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) cut = std::min(cut, pending_.find(stop));
  if (cut != std::string::npos) {
    pending_.resize(cut);
    finish(out);
    return true;
  }
  size_t hold = 0;
  for (const std::string& stop : stops_) hold = std::max(hold, partial_match(pending_, stop));
  const size_t length = utf8_complete_prefix(std::string_view(pending_).substr(0, pending_.size() - hold));
  show(to_utf8(std::string_view(pending_).substr(0, length)), false, out);
  pending_.erase(0, length);
  return false;
}

void TextStream::finish(TextPiece& out) {
  show(to_utf8(pending_), true, out);
  pending_.clear();
}

void TextStream::show(std::string_view valid, bool last, TextPiece& out) {
  out.text += valid;
  unsplit_ += valid;
  if (mode_ == Mode::Start) {
    const size_t start = unsplit_.find_first_not_of(kSpace);
    const std::string_view rest = start == std::string::npos ? "" : std::string_view(unsplit_).substr(start);
    if (rest.substr(0, kOpen.size()) == kOpen) {
      unsplit_.erase(0, start + kOpen.size());
      mode_ = Mode::Thought;
      skip_space_ = true;
    } else if (last || kOpen.substr(0, rest.size()) != rest) {
      mode_ = Mode::Content;
    } else {
      return;  // white space, or the beginning of the mark
    }
  }
  if (mode_ == Mode::Thought) {
    if (skip_space_) unsplit_.erase(0, std::min(unsplit_.find_first_not_of(kSpace), unsplit_.size()));
    if (!unsplit_.empty()) skip_space_ = false;
    const size_t close = unsplit_.find(kClose);
    size_t length = close != std::string::npos ? close
                    : last                     ? unsplit_.size()
                                               : unsplit_.size() - partial_match(unsplit_, kClose);
    // White space at the end of the thought so far may be the end of the thought.
    const size_t end = std::string_view(unsplit_).substr(0, length).find_last_not_of(kSpace);
    const size_t shown = end == std::string::npos ? 0 : end + 1;
    out.reasoning += std::string_view(unsplit_).substr(0, shown);
    if (close == std::string::npos) {
      unsplit_.erase(0, last ? unsplit_.size() : shown);
      return;
    }
    unsplit_.erase(0, close + kClose.size());
    mode_ = Mode::Content;
    skip_space_ = true;
  }
  if (skip_space_) unsplit_.erase(0, std::min(unsplit_.find_first_not_of(kSpace), unsplit_.size()));
  if (!unsplit_.empty()) skip_space_ = false;
  out.content += unsplit_;
  unsplit_.clear();
}

}  // namespace retort::infer
