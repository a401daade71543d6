// Trace: one answer of a teacher, as bought. Holds no clock reading, cost or attempt count (the ledger has those), so
// that a resumed run writes the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "record/message.h"

namespace retort {

// The most of a count in any record, so that sums over all records of a file stay in 64 bits. What comes from outside
// is held to it where it enters (wire), what is read from a file by decode().
inline constexpr int64_t kMaxCount = int64_t{1} << 40;

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;  // reasoning included
  int64_t reasoning_tokens = 0;   // 0 where the teacher does not say
  int64_t cached_tokens = 0;      // part of prompt_tokens that the teacher bills as read from its cache
};

struct Trace {
  std::string id;  // short_id of prompt id, sample number and raw_hash
  std::string prompt_id;
  int sample = 0;                 // 0 .. samples-1 of its prompt
  std::vector<Message> messages;  // what was sent
  std::string answer;             // the prompt's reference, "" where unknown
  std::string rule;               // the prompt's, "" where it has none
  std::string task;
  std::string reasoning;        // the teacher's visible thought, whichever way it came
  std::string content;          // the teacher's answer without the thought
  std::string finish_reason;    // "stop", "length", ... as the teacher said; "imported" for published text
  std::string teacher;          // name in the permission record
  std::string model;            // as the teacher's response names it
  std::string permission_hash;  // SHA-256 of the permission record that allowed this
  std::string raw_hash;         // SHA-256 of the response body (imported: of the source row)
  Json params;                  // sampling parameters as sent
  Usage usage;
};

Json encode(const Trace& trace);
Status decode(const Json& json, Trace& out);

}  // namespace retort
