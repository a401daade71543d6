// Held-out questions: what must stay unseen in training. A question counts as held out when its normalised text (case,
// punctuation and spacing aside) equals one, or does so after the operands of its commutative steps were sorted (12 + 7
// is 7 + 12), or, where asked, when it shares a run of words with one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "record/message.h"

namespace retort::curate {

class HeldOut {
 public:
  HeldOut() = default;
  // `ngram`: words in a row whose sharing counts; 0: off.
  explicit HeldOut(int ngram) : ngram_(ngram) {}
  void add(std::string_view question);
  // "" or why: "same question", "commuted", "shares 8 words".
  std::string match(std::string_view question) const;
  size_t size() const { return exact_.size(); }

 private:
  int ngram_ = 0;
  std::unordered_set<std::string> exact_, commuted_;
  std::unordered_set<uint64_t> runs_;
};

// Lower-case words and numbers with single spaces; of the punctuation only arithmetic signs and decimal points stay.
std::string normalise_question(std::string_view question);
// The same with the operands of every "a + b" and "a * b" (also plus, times, x, multiplied by, the sum/product of a and
// b) in sorted order and the signs written one way.
std::string commute_question(std::string_view question);
// The last user message's text.
std::string question_of(const std::vector<Message>& messages);

}  // namespace retort::curate
