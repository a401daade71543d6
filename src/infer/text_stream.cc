#include "infer/text_stream.h"

#include <algorithm>

#include "base/text.h"

namespace retort::infer {
namespace {

// Length of the longest suffix of `text` that is a proper prefix of `word`.
size_t partial_match(std::string_view text, std::string_view word) {
  for (size_t length = std::min(text.size(), word.size() - 1); length > 0; --length)
    if (text.substr(text.size() - length) == word.substr(0, length)) return length;
  return 0;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stops, bool split_thought, bool in_thought)
    : stops_(std::move(stops)),
      split_thought_(split_thought),
      thinking_(split_thought && in_thought),
      splitter_(in_thought) {}

bool TextStream::push(std::string_view bytes, TextPiece& out) {
  pending_ += bytes;
  // A stop string lies in pending_ as a whole: whatever could begin one was held back.
  // Of several, the one that is whole first counts, of those the longest: so where tokens end decides nothing.
  size_t cut = std::string::npos, end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = pending_.find(stop);
    if (at == std::string::npos || at + stop.size() > end) continue;
    cut = at + stop.size() < end ? at : std::min(cut, at);
    end = at + stop.size();
  }
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
  if (!split_thought_) {
    out.content += valid;
    return;
  }
  const size_t reasoning = out.reasoning.size(), content = out.content.size();
  splitter_.feed(valid, out.reasoning, out.content);
  if (last) splitter_.finish(out.reasoning, out.content);
  if (out.reasoning.size() > reasoning) thinking_ = true;
  if (out.content.size() > content) thinking_ = false;
}

}  // namespace retort::infer
