#include "ledger/provenance.h"

#include <utility>

#include "base/hash.h"

namespace retort::ledger {
namespace {

const std::string kGenesis(64, '0');

std::string hash_of(const ProvenanceEntry& e) {
  return sha256(to_text({{"seq", e.seq}, {"prev", e.prev}, {"kind", e.kind}, {"payload", e.payload}}));
}

Result<ProvenanceEntry> parse_entry(const std::string& line) {
  RETORT_ASSIGN(const Json json, parse_json(line));
  ProvenanceEntry e;
  RETORT_ASSIGN(e.seq, need_int(json, "seq"));
  RETORT_ASSIGN(e.prev, need_string(json, "prev"));
  RETORT_ASSIGN(e.kind, need_string(json, "kind"));
  RETORT_ASSIGN(e.hash, need_string(json, "hash"));
  const Json* payload = find(json, "payload");
  if (payload == nullptr || json.size() != 5) return fail(Code::Invalid, "its members are not those of an entry");
  e.payload = *payload;
  return e;
}

Result<std::vector<ProvenanceEntry>> verify(const std::vector<std::string>& lines, const std::string& path) {
  std::vector<ProvenanceEntry> out;
  std::string prev = kGenesis;
  for (const std::string& line : lines) {
    const int64_t seq = static_cast<int64_t>(out.size());
    const auto broken = [&](std::string_view why) {
      return fail(Code::Corrupt,
                  "{} line {} is broken: {}; what follows it proves nothing; restore the book from a copy, or move it "
                  "away and another is begun",
                  path, seq + 1, why);
    };
    auto entry = parse_entry(line);
    if (!entry.ok()) return broken(entry.error().message);
    if (entry->seq != seq) return broken(fmt::format("its number is {}", entry->seq));
    if (entry->prev != prev) return broken("it does not follow the entry before it");
    if (entry->hash != hash_of(*entry)) return broken("its content does not match its hash");
    prev = entry->hash;
    out.push_back(std::move(entry).value());
  }
  return out;
}

}  // namespace

Result<ProvenanceBook> ProvenanceBook::open(const std::string& path, Env& env) {
  RETORT_ASSIGN(auto lines, AppendedLines::open(path, env));
  RETORT_ASSIGN(auto entries, verify(lines.found(), path));
  std::string head = entries.empty() ? kGenesis : entries.back().hash;
  return ProvenanceBook(std::move(lines), std::move(entries), std::move(head));
}

Result<std::string> ProvenanceBook::append(const std::string& kind, const Json& payload) {
  ProvenanceEntry e{next_, head_, kind, payload, ""};
  // What is hashed is what a reader will parse: text with invalid UTF-8 replaced.
  RETORT_ASSIGN(e.payload, parse_json(to_text(payload)));
  e.hash = hash_of(e);
  const Json line = {{"seq", e.seq}, {"prev", e.prev}, {"kind", e.kind}, {"payload", e.payload}, {"hash", e.hash}};
  RETORT_TRY(lines_.append({to_text(line)}));
  ++next_;
  head_ = e.hash;
  return head_;
}

Result<std::vector<ProvenanceEntry>> read_provenance(const std::string& path, Env& env) {
  if (!env.exists(path)) return fail(Code::NotFound, "there is no provenance book at {}", path);
  RETORT_ASSIGN(const auto read, read_lines(path, env));
  return verify(read.lines, path);
}

}  // namespace retort::ledger
