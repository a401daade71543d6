// Provenance book: what was made from what, append-only and hash-chained (`provenance.jsonl`; docs/formats.md), so that
// a changed, dropped or moved entry shows. It proves order and content against whoever holds the last hash, not
// authorship: signing is a later step. One writer at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"
#include "ledger/appended_lines.h"

namespace retort::ledger {

struct ProvenanceEntry {
  int64_t seq = 0;   // from 0
  std::string prev;  // hash of the entry before; 64 zeros for the first
  std::string kind;  // "permission", "collect", "curate", "train", "model", ...
  Json payload;      // object
  std::string hash;  // SHA-256 of the compact JSON {"seq","prev","kind","payload"} in this order
};

class ProvenanceBook {
 public:
  // Creates the book where absent, takes off a torn last line, and verifies the chain: Corrupt, naming the first broken
  // line, where it does not hold.
  static Result<ProvenanceBook> open(const std::string& path, Env& env);
  // Durable when this returns. The new entry's hash.
  Result<std::string> append(const std::string& kind, const Json& payload);
  const std::vector<ProvenanceEntry>& found() const { return found_; }  // entries at open()
  const std::string& head() const { return head_; }  // the last entry's hash; 64 zeros in an empty book

 private:
  ProvenanceBook(AppendedLines lines, std::vector<ProvenanceEntry> found, std::string head)
      : lines_(std::move(lines)),
        found_(std::move(found)),
        next_(static_cast<int64_t>(found_.size())),
        head_(std::move(head)) {}
  AppendedLines lines_;
  std::vector<ProvenanceEntry> found_;
  int64_t next_;
  std::string head_;
};

// All entries, chain verified; NotFound where absent, Corrupt naming the first broken line.
Result<std::vector<ProvenanceEntry>> read_provenance(const std::string& path, Env& env);

}  // namespace retort::ledger
