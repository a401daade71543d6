// Learns a byte-level BPE vocabulary from texts, for students trained from scratch. Deterministic: ties go to the pair
// with the smaller ids. Digits stay single, so that numbers have one spelling. Non-goal: corpora beyond memory.
#pragma once

#include <string>
#include <vector>

#include "model/tokenizer.h"

namespace retort::model {

struct BpeTraining {
  int vocab_size = 512;                     // special tokens, byte tokens and merges together
  std::vector<std::string> special_tokens;  // get ids 0, 1, ...
  std::string bos_token, eos_token;         // must be among special_tokens, or ""
  bool all_bytes = true;  // false: only the bytes that occur (others would vanish); smaller for closed languages
};
// Fewer entries than vocab_size come out where the texts have no pair left that occurs twice. Errors: Invalid where
// vocab_size does not hold the special and byte tokens.
Result<Tokenizer> train_bpe(const std::vector<std::string>& texts, const BpeTraining& options);

}  // namespace retort::model
