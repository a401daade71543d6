// Tokenizer: text to token ids and back, by byte-level BPE. Ids equal those of Hugging Face's `tokenizers` library for
// the same tokenizer.json. Read from tokenizer.json, from GGUF metadata (tokenizer_load.h) or made by the trainer
// (bpe_trainer.h). Non-goals: SentencePiece and Unigram vocabularies (refused by name), offsets, pairs of sequences,
// truncation and padding (those members of tokenizer.json are ignored, as transformers does).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace retort::model {

// A token that is cut out of the text before BPE. Members as in tokenizer.json.
struct AddedToken {
  std::string content;
  bool special = false;      // decode() can leave it out
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // looked for in the normalised text instead of the raw one
};

// What a tokenizer consists of: the content of a tokenizer.json.
struct TokenizerSpec {
  std::vector<std::string> tokens;  // by id, in the byte-level alphabet ("Ġthe"); "" marks an id that is not used
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  std::vector<AddedToken> added;                            // one whose content is no token yet gets the next free id
  Json normalizer, pre_tokenizer, post_processor, decoder;  // tokenizer.json's sections, null where absent
  std::string unk_token;  // "" where none: bytes without a token vanish, as in Hugging Face's library
  bool fuse_unk = false;
  bool ignore_merges = false;        // a word that is a token as a whole is taken whole
  std::string bos_token, eos_token;  // texts; "" where unknown (tokenizer.json does not say; see tokenizer_load.h)
};

// Immutable after it was made; all const members may be called from any number of threads. Copies share the tables.
class Tokenizer {
 public:
  // From the bytes of a tokenizer.json. (Text, not Json: a 150,000-entry object in Json's insertion-ordered map costs
  // quadratic time.) Errors: Invalid, naming the component that is not supported or the broken entry.
  // `bos_token` and `eos_token` are tokenizer_config.json's, "" where unknown.
  static Result<Tokenizer> from_json(std::string_view text, std::string bos_token = "", std::string eos_token = "");
  static Result<Tokenizer> make(TokenizerSpec spec);

  // Ids of `text`. Invalid UTF-8 counts as U+FFFD, one for each maximal invalid part, as Python's errors="replace".
  // Texts of special tokens in `text` become those tokens. With `add_special` the post-processor's tokens (BOS, EOS
  // where the tokenizer has them) are added always, exactly as Hugging Face's encode(add_special_tokens=True) does.
  // A rendered chat template holds its own BOS: encode it with add_special = false.
  // Errors: Limit where the tokenizer's pattern takes too much work on this text (pretokenizer_regex.h).
  Result<std::vector<int32_t>> encode(std::string_view text, bool add_special) const;
  // What a model writes to say `text`: as encode(text, false), but the texts of special tokens stay text. The marks of
  // a thought (model/think.h) become tokens where there are such.
  Result<std::vector<int32_t>> encode_written(std::string_view text) const;
  // For prompts from users: as encode(text, true), but a text that begins with BOS already gets no second one.
  Result<std::vector<int32_t>> encode_prompt(std::string_view text) const;

  // Text of the ids; broken UTF-8 becomes U+FFFD. Ids out of range are skipped. `skip_special` leaves special tokens
  // out.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;
  // The token's bytes, which may be part of a UTF-8 sequence; "" for an id out of range. Lives as long as the
  // tokenizer.
  std::string_view token_bytes(int32_t id) const;
  // The token as tokenizer.json spells it ("Ġthe").
  std::string_view token_text(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view token) const;

  int32_t vocab_size() const;  // one more than the largest id
  bool is_special(int32_t id) const;
  int32_t bos_id() const;  // -1 where there is none
  int32_t eos_id() const;
  // Texts of the same tokens, "" where there is none: a chat template's bos_token and eos_token.
  std::string_view bos_token() const;
  std::string_view eos_token() const;

  const TokenizerSpec& spec() const;
  // A tokenizer.json that Hugging Face's library loads to the same ids.
  std::string to_json() const;
  // The tokenizer_config.json beside it, for transformers; `chat_template` may be "".
  std::string config_json(std::string_view chat_template) const;

  struct Tables;

 private:
  Result<std::vector<int32_t>> encode_as(std::string_view text, bool add_special, bool written) const;
  explicit Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}
  std::shared_ptr<const Tables> tables_;
};

}  // namespace retort::model
