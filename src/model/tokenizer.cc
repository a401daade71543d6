#include "model/tokenizer.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "base/text.h"
#include "model/bpe.h"
#include "model/pretokenizer.h"
#include "model/pretokenizer_regex.h"
#include "model/think.h"
#include "model/tokenizer_added.h"
#include "model/unicode.h"

namespace retort::model {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 24;

// Word caches at rest; encode() takes one for its own use, so that no lock is held while it works.
class CachePool {
 public:
  std::unique_ptr<WordCache> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<WordCache>();
    auto cache = std::move(free_.back());
    free_.pop_back();
    return cache;
  }
  void give(std::unique_ptr<WordCache> cache) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(cache));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> free_;
};

Status read_normalizer(const Json& section, std::vector<NormalForm>& out) {
  if (section.is_null()) return {};
  RETORT_ASSIGN(const std::string type, need_string(section, "type"));
  if (type == "Sequence") {
    const Json* list = find(section, "normalizers");
    if (list == nullptr || !list->is_array())
      return fail(Code::Invalid, "normalizer Sequence: `normalizers` is missing");
    for (const Json& member : *list) RETORT_TRY(read_normalizer(member, out));
    constexpr size_t kMaxForms = 8;
    if (out.size() > kMaxForms) return fail(Code::Invalid, "normalizer: more than {} are not supported", kMaxForms);
    return {};
  }
  if (type == "NFC")
    out.push_back(NormalForm::Nfc);
  else if (type == "NFD")
    out.push_back(NormalForm::Nfd);
  else if (type == "NFKC")
    out.push_back(NormalForm::Nfkc);
  else if (type == "NFKD")
    out.push_back(NormalForm::Nfkd);
  else
    return fail(Code::Invalid, "normalizer `{}` is not supported; retort reads NFC, NFD, NFKC, NFKD", type);
  return {};
}

Status check_decoder(const Json& section) {
  if (section.is_null()) return {};
  RETORT_ASSIGN(const std::string type, need_string(section, "type"));
  if (type == "ByteLevel" || type == "Fuse") return {};
  if (type == "Sequence") {
    const Json* list = find(section, "decoders");
    if (list == nullptr || !list->is_array()) return fail(Code::Invalid, "decoder Sequence: `decoders` is missing");
    for (const Json& member : *list) RETORT_TRY(check_decoder(member));
    return {};
  }
  return fail(Code::Invalid, "decoder `{}` is not supported; retort reads byte-level BPE (decoder ByteLevel)", type);
}

struct Affixes {
  std::vector<int32_t> prefix, suffix;
};

Status read_id(const Json& value, std::string_view where, std::vector<int32_t>& out) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0 ||
      value.get<int64_t>() >= static_cast<int64_t>(kMaxTokens))
    return fail(Code::Invalid, "post_processor {}: {} is not a token id", where, to_text(value));
  out.push_back(value.get<int32_t>());
  return {};
}

Status read_template(const Json& section, Affixes& out) {
  const Json* single = find(section, "single");
  const Json* specials = find(section, "special_tokens");
  if (single == nullptr || !single->is_array())
    return fail(Code::Invalid, "post_processor TemplateProcessing: `single` is missing");
  Affixes own;
  bool after = false;
  for (const Json& part : *single) {
    if (find(part, "Sequence") != nullptr) {
      after = true;
      continue;
    }
    const Json* token = find(part, "SpecialToken");
    if (token == nullptr) return fail(Code::Invalid, "post_processor TemplateProcessing: {} is unknown", to_text(part));
    RETORT_ASSIGN(const std::string name, need_string(*token, "id"));
    const Json* entry = specials == nullptr ? nullptr : find(*specials, name);
    const Json* ids = entry == nullptr ? nullptr : find(*entry, "ids");
    if (ids == nullptr || !ids->is_array())
      return fail(Code::Invalid, "post_processor TemplateProcessing: `special_tokens` lacks `{}`", name);
    for (const Json& id : *ids) RETORT_TRY(read_id(id, "TemplateProcessing", after ? own.suffix : own.prefix));
  }
  out.prefix.insert(out.prefix.begin(), own.prefix.begin(), own.prefix.end());
  out.suffix.insert(out.suffix.end(), own.suffix.begin(), own.suffix.end());
  return {};
}

Status read_post_processor(const Json& section, Affixes& out) {
  if (section.is_null()) return {};
  RETORT_ASSIGN(const std::string type, need_string(section, "type"));
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "TemplateProcessing") return read_template(section, out);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    const auto id = [&](const char* key, std::vector<int32_t>& list) -> Status {
      const Json* pair = find(section, key);
      if (pair == nullptr || !pair->is_array() || pair->size() != 2)
        return fail(Code::Invalid, "post_processor {}: `{}` must be [token, id]", type, key);
      return read_id((*pair)[1], type, list);
    };
    std::vector<int32_t> first;
    RETORT_TRY(id("cls", first));
    out.prefix.insert(out.prefix.begin(), first.begin(), first.end());
    return id("sep", out.suffix);
  }
  if (type == "Sequence") {
    const Json* list = find(section, "processors");
    if (list == nullptr || !list->is_array())
      return fail(Code::Invalid, "post_processor Sequence: `processors` is missing");
    for (const Json& member : *list) RETORT_TRY(read_post_processor(member, out));
    return {};
  }
  return fail(Code::Invalid, "post_processor `{}` is not supported", type);
}

}  // namespace

struct Tokenizer::Tables {
  TokenizerSpec spec;
  std::vector<std::string> texts;  // by id, added tokens included
  std::vector<std::string> bytes;  // by id
  std::vector<bool> special;
  std::unordered_map<std::string_view, int32_t> ids;  // keys point into texts
  std::vector<int32_t> added_ids;                     // of spec.added
  std::vector<NormalForm> normal_forms;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  AddedMatcher raw_added, normalized_added;
  Affixes affixes;
  int32_t bos = -1, eos = -1;
  mutable CachePool caches;

  std::string normalise(std::string_view text) const {
    std::string out(text);
    for (const NormalForm form : normal_forms) out = normalize(out, form);
    return out;
  }
  Status index_tokens();
  Status index_added();
  Status index_merges();
  Status encode_plain(std::string_view text, WordCache& cache, std::vector<int32_t>& out, RegexWork& work) const;
};

Status Tokenizer::Tables::index_tokens() {
  if (spec.tokens.size() > kMaxTokens) return fail(Code::Invalid, "a vocabulary of {} tokens", spec.tokens.size());
  size_t used = 0;
  texts = spec.tokens;
  texts.reserve(texts.size() + spec.added.size());  // the map's keys must not move
  ids.reserve(texts.size() + spec.added.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) continue;
    ++used;
    if (!ids.emplace(texts[i], static_cast<int32_t>(i)).second)
      return fail(Code::Invalid, "the vocabulary has `{}` twice (ids {} and {})", texts[i], ids[texts[i]], i);
  }
  // As Hugging Face's library numbers added tokens: after the vocabulary's count, then one after another.
  int32_t max_added = -1;
  for (const AddedToken& token : spec.added) {
    const auto it = ids.find(token.content);
    int32_t id = 0;
    if (it != ids.end()) {
      id = it->second;
    } else {
      const int32_t count = static_cast<int32_t>(used);
      id = max_added >= count || (used == 0 && max_added >= 0) ? max_added + 1 : count;
      if (static_cast<size_t>(id) < texts.size() && !texts[static_cast<size_t>(id)].empty())
        return fail(Code::Invalid, "added token `{}` would get id {}, which `{}` has", token.content, id,
                    texts[static_cast<size_t>(id)]);
      if (static_cast<size_t>(id) >= texts.size()) texts.resize(static_cast<size_t>(id) + 1);
      texts[static_cast<size_t>(id)] = token.content;
      ids.emplace(texts[static_cast<size_t>(id)], id);
    }
    max_added = std::max(max_added, id);
    added_ids.push_back(id);
  }
  bytes.resize(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) bytes[i] = from_byte_level(texts[i]);
  return {};
}

Status Tokenizer::Tables::index_added() {
  special.assign(texts.size(), false);
  for (size_t k = 0; k < spec.added.size(); ++k) {
    const AddedToken& token = spec.added[k];
    constexpr size_t kMaxAdded = 1024;  // bytes; it is looked for at every place of a text
    if (token.content.size() > kMaxAdded)
      return fail(Code::Invalid, "added token {} has {} bytes, more than {}", added_ids[k], token.content.size(),
                  kMaxAdded);
    if (token.special) special[static_cast<size_t>(added_ids[k])] = true;
    if (token.normalized)
      normalized_added.add(normalise(token.content), token, added_ids[k]);
    else
      raw_added.add(token.content, token, added_ids[k]);
  }
  return {};
}

Status Tokenizer::Tables::index_merges() {
  const auto id_in_vocabulary = [&](const std::string& token) -> int32_t {
    const auto it = ids.find(token);
    return it == ids.end() || it->second >= static_cast<int32_t>(spec.tokens.size()) ? -1 : it->second;
  };
  for (size_t b = 0; b < 256; ++b) bpe.byte_ids[b] = id_in_vocabulary(byte_alphabet()[b]);
  bpe.merges = MergeTable(spec.merges.size());
  std::string joined;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    joined.assign(left).append(right);
    const int32_t l = id_in_vocabulary(left), r = id_in_vocabulary(right), m = id_in_vocabulary(joined);
    if (l < 0 || r < 0 || m < 0)
      return fail(Code::Invalid, "merge {} (`{}` `{}`): `{}` is not in the vocabulary", rank, left, right,
                  l < 0   ? left
                  : r < 0 ? right
                          : joined);
    bpe.merges.set(l, r, {static_cast<int32_t>(rank), m});
  }
  if (!spec.unk_token.empty()) {
    bpe.unk_id = id_in_vocabulary(spec.unk_token);
    if (bpe.unk_id < 0) return fail(Code::Invalid, "unk_token `{}` is not in the vocabulary", spec.unk_token);
  }
  bpe.fuse_unk = spec.fuse_unk;
  bpe.whole_words = spec.ignore_merges ? &ids : nullptr;
  return {};
}

Status Tokenizer::Tables::encode_plain(std::string_view text, WordCache& cache, std::vector<int32_t>& out,
                                       RegexWork& work) const {
  std::vector<std::string_view> words;
  std::deque<std::string> owned;
  RETORT_TRY(pre_tokenizer.split(text, words, owned, work));
  for (const std::string_view word : words) bpe.encode(word, cache, out);
  return {};
}

Result<Tokenizer> Tokenizer::make(TokenizerSpec spec) {
  auto tables = std::make_shared<Tables>();
  Tables& t = *tables;
  t.spec = std::move(spec);
  RETORT_TRY(read_normalizer(t.spec.normalizer, t.normal_forms));
  RETORT_ASSIGN(t.pre_tokenizer, PreTokenizer::from_json(t.spec.pre_tokenizer));
  if (!t.pre_tokenizer.byte_level())
    return fail(Code::Invalid,
                "pre_tokenizer has no ByteLevel step: not a byte-level BPE tokenizer, which is all that retort reads");
  RETORT_TRY(check_decoder(t.spec.decoder));
  std::erase_if(t.spec.added, [](const AddedToken& a) { return a.content.empty(); });
  RETORT_TRY(t.index_tokens());
  RETORT_TRY(t.index_added());
  RETORT_TRY(t.index_merges());
  RETORT_TRY(read_post_processor(t.spec.post_processor, t.affixes));
  for (const auto* list : {&t.affixes.prefix, &t.affixes.suffix}) {
    for (const int32_t id : *list) {
      if (static_cast<size_t>(id) >= t.texts.size())
        return fail(Code::Invalid, "post_processor: id {} is past the vocabulary's {}", id, t.texts.size());
    }
  }
  const auto known = [&](const std::string& token, int32_t fallback) {
    const auto it = t.ids.find(token);
    return it == t.ids.end() ? fallback : it->second;
  };
  t.bos = known(t.spec.bos_token, t.affixes.prefix.empty() ? -1 : t.affixes.prefix.front());
  t.eos = known(t.spec.eos_token, t.affixes.suffix.empty() ? -1 : t.affixes.suffix.back());
  return Tokenizer(std::move(tables));
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, bool add_special) const {
  return encode_as(text, add_special, false);
}
Result<std::vector<int32_t>> Tokenizer::encode_written(std::string_view text) const {
  return encode_as(text, false, true);
}

Result<std::vector<int32_t>> Tokenizer::encode_as(std::string_view text, bool add_special, bool written) const {
  const Tables& t = *tables_;
  std::string valid;
  if (!is_utf8(text)) {
    valid = to_utf8(text);
    text = valid;
  }
  std::vector<int32_t> out;
  out.reserve(text.size() / 4 + 8);
  if (add_special) out = t.affixes.prefix;
  auto cache = t.caches.take();
  const auto is_token = [&](int32_t id) {
    return id >= 0 &&
           !(written && t.special[static_cast<size_t>(id)] && !is_think_mark(t.texts[static_cast<size_t>(id)]));
  };
  RegexWork work = regex_work(text.size());
  Status status;
  t.raw_added.split(text, [&](std::string_view piece, int32_t id) {
    if (is_token(id)) {
      out.push_back(id);
      return;
    }
    std::string normal;
    if (!t.normal_forms.empty()) {
      normal = t.normalise(piece);
      piece = normal;
    }
    t.normalized_added.split(piece, [&](std::string_view part, int32_t part_id) {
      if (is_token(part_id))
        out.push_back(part_id);
      else if (status.ok())
        status = t.encode_plain(part, *cache, out, work);
    });
  });
  t.caches.give(std::move(cache));
  RETORT_TRY(std::move(status));
  if (add_special) out.insert(out.end(), t.affixes.suffix.begin(), t.affixes.suffix.end());
  return out;
}

Result<std::vector<int32_t>> Tokenizer::encode_prompt(std::string_view text) const {
  const Affixes& a = tables_->affixes;
  RETORT_ASSIGN(std::vector<int32_t> ids, encode(text, false));
  const bool begins = ids.size() >= a.prefix.size() && std::equal(a.prefix.begin(), a.prefix.end(), ids.begin());
  if (!begins) ids.insert(ids.begin(), a.prefix.begin(), a.prefix.end());
  const bool ends = ids.size() >= a.suffix.size() && std::equal(a.suffix.rbegin(), a.suffix.rend(), ids.rbegin());
  if (!ends) ids.insert(ids.end(), a.suffix.begin(), a.suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  const Tables& t = *tables_;
  const bool joined = !t.spec.decoder.is_null();
  std::string out;
  bool first = true;
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= t.texts.size()) continue;
    if (skip_special && t.special[static_cast<size_t>(id)]) continue;
    if (joined) {
      out += t.bytes[static_cast<size_t>(id)];
    } else {  // without a decoder Hugging Face's library puts the tokens side by side
      if (!first) out += ' ';
      out += t.texts[static_cast<size_t>(id)];
    }
    first = false;
  }
  return is_utf8(out) ? out : to_utf8(out);
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  return id < 0 || id >= vocab_size() ? std::string_view() : tables_->bytes[static_cast<size_t>(id)];
}

std::string_view Tokenizer::token_text(int32_t id) const {
  return id < 0 || id >= vocab_size() ? std::string_view() : tables_->texts[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto it = tables_->ids.find(token);
  return it == tables_->ids.end() ? std::nullopt : std::optional<int32_t>(it->second);
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(tables_->texts.size()); }

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && tables_->special[static_cast<size_t>(id)];
}

int32_t Tokenizer::bos_id() const { return tables_->bos; }
int32_t Tokenizer::eos_id() const { return tables_->eos; }
std::string_view Tokenizer::bos_token() const { return token_text(tables_->bos); }
std::string_view Tokenizer::eos_token() const { return token_text(tables_->eos); }
const TokenizerSpec& Tokenizer::spec() const { return tables_->spec; }

}  // namespace retort::model
