// Records for a person: what a file's lines are, and for rejects and scores, which name their input by id alone, the
// question and the answer from the traces and prompts beside them. One pass over each file; memory: what is shown.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort::app {

struct ShownRecord {
  std::string kind;  // "reject", "score", "trace", "example" or "prompt"
  std::string id, prompt_id;
  std::string reason;  // of a reject; of a score "correct", "wrong" or "no_answer"; of a trace its finish_reason; of an
                       // example what vouches for it
  std::string detail;  // of a reject
  std::string reference, found;
  std::string question, thought, answer;  // "" where no file beside has them
};

struct ShowOptions {
  std::string reason;             // only these; "": all
  int64_t limit = 10;             // 0: all
  int64_t each = 0;               // of one reason at most; 0: all
  std::vector<std::string> with;  // files to look ids up in, before those beside the file
};

struct ShownFile {
  std::vector<ShownRecord> records;        // the first `limit` of them
  int64_t matching = 0, all = 0;           // lines that fit, and all lines
  std::map<std::string, int64_t> reasons;  // of all lines
};

// Errors: Invalid, naming the line that is no record; what reading gives.
Result<ShownFile> read_shown(const std::string& path, const ShowOptions& options, Env& env);

// The start of a text on one line, safe for a terminal: no control characters; "..." where it was cut.
std::string excerpt(std::string_view text, size_t bytes);

Json encode(const ShownRecord& record);

}  // namespace retort::app
