#include "model/bpe_trainer.h"

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>

#include "base/text.h"
#include "model/bpe.h"
#include "model/pretokenizer.h"
#include "model/pretokenizer_regex.h"

namespace retort::model {
namespace {

struct Word {
  std::vector<int32_t> symbols;
  int64_t count = 0;
};

Json pre_tokenizer_section() {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Digits"}, {"individual_digits", true}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}}}};
}

// Distinct words of the texts in order of their bytes, special tokens cut out. Sorted, so that nothing depends on a
// hash table's order.
Result<std::map<std::string, int64_t>> count_words(const std::vector<std::string>& texts,
                                                   const std::vector<std::string>& special_tokens) {
  RETORT_ASSIGN(const PreTokenizer pre, PreTokenizer::from_json(pre_tokenizer_section()));
  std::map<std::string, int64_t> counts;
  std::vector<std::string_view> words;
  std::deque<std::string> owned;
  for (const std::string& text : texts) {
    std::string valid = to_utf8(text);
    for (const std::string& special : special_tokens) valid = replace_all(valid, special, std::string(1, '\0'));
    for (const std::string_view piece : split(valid, '\0')) {
      words.clear();
      RegexWork work = regex_work(piece.size());
      RETORT_TRY(pre.split(piece, words, owned, work));
      for (const std::string_view word : words) ++counts[std::string(word)];
    }
  }
  return counts;
}

}  // namespace

Result<Tokenizer> train_bpe(const std::vector<std::string>& texts, const BpeTraining& options) {
  TokenizerSpec spec;
  for (const std::string& special : options.special_tokens) {
    if (special.empty() || std::count(options.special_tokens.begin(), options.special_tokens.end(), special) > 1)
      return fail(Code::Invalid, "special token `{}` is empty or given twice", special);
    spec.tokens.push_back(special);
    AddedToken token;
    token.content = special;
    token.special = true;
    spec.added.push_back(std::move(token));
  }
  for (const std::string* token : {&options.bos_token, &options.eos_token}) {
    if (!token->empty() && std::find(spec.tokens.begin(), spec.tokens.end(), *token) == spec.tokens.end())
      return fail(Code::Invalid, "`{}` is not among the special tokens", *token);
  }
  RETORT_ASSIGN(const auto counts, count_words(texts, options.special_tokens));

  std::vector<bool> used(256, options.all_bytes);
  for (const auto& [word, count] : counts) {
    for (const char c : word) used[static_cast<uint8_t>(c)] = true;
  }
  std::array<int32_t, 256> byte_ids{};
  for (size_t b = 0; b < 256; ++b) {
    if (!used[b]) continue;
    byte_ids[b] = static_cast<int32_t>(spec.tokens.size());
    spec.tokens.push_back(byte_alphabet()[b]);
  }
  if (static_cast<int64_t>(spec.tokens.size()) > options.vocab_size)
    return fail(Code::Invalid, "a vocabulary of {} does not hold the {} special and byte tokens; give at least {}",
                options.vocab_size, spec.tokens.size(), spec.tokens.size());

  std::vector<Word> words;
  for (const auto& [word, count] : counts) {
    Word w;
    w.count = count;
    for (const char c : word) w.symbols.push_back(byte_ids[static_cast<uint8_t>(c)]);
    if (w.symbols.size() > 1) words.push_back(std::move(w));
  }
  std::unordered_map<std::string, int32_t> known;
  for (size_t i = 0; i < spec.tokens.size(); ++i) known.emplace(spec.tokens[i], static_cast<int32_t>(i));
  // Vocabularies are small here, so each round counts anew: merges * words, simple and exact.
  while (static_cast<int64_t>(spec.tokens.size()) < options.vocab_size) {
    std::unordered_map<uint64_t, int64_t> pairs;
    for (const Word& w : words) {
      for (size_t i = 0; i + 1 < w.symbols.size(); ++i)
        pairs[(static_cast<uint64_t>(w.symbols[i]) << 32) | static_cast<uint64_t>(w.symbols[i + 1])] += w.count;
    }
    uint64_t best = 0;
    int64_t best_count = 1;
    for (const auto& [pair, count] : pairs) {
      if (count < 2 || count < best_count || (count == best_count && pair >= best)) continue;
      const std::string joined =
          spec.tokens[static_cast<size_t>(pair >> 32)] + spec.tokens[static_cast<size_t>(pair & 0xFFFFFFFF)];
      if (known.count(joined) != 0) continue;  // two ways to one token would need one id for two ranks
      best = pair;
      best_count = count;
    }
    if (best_count < 2) break;
    const int32_t left = static_cast<int32_t>(best >> 32), right = static_cast<int32_t>(best & 0xFFFFFFFF);
    const int32_t merged = static_cast<int32_t>(spec.tokens.size());
    const std::string a = spec.tokens[static_cast<size_t>(left)], b = spec.tokens[static_cast<size_t>(right)];
    spec.merges.emplace_back(a, b);
    spec.tokens.push_back(a + b);
    known.emplace(a + b, merged);
    for (Word& w : words) {
      size_t out = 0;
      for (size_t i = 0; i < w.symbols.size(); ++i, ++out) {
        if (i + 1 < w.symbols.size() && w.symbols[i] == left && w.symbols[i + 1] == right) {
          w.symbols[out] = merged;
          ++i;
        } else {
          w.symbols[out] = w.symbols[i];
        }
      }
      w.symbols.resize(out);
    }
    std::erase_if(words, [](const Word& w) { return w.symbols.size() < 2; });
  }

  spec.pre_tokenizer = pre_tokenizer_section();
  spec.decoder = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  spec.bos_token = options.bos_token;
  spec.eos_token = options.eos_token;
  return Tokenizer::make(std::move(spec));
}

}  // namespace retort::model
