// The scores of an unfinished evaluation: an append-only file that survives a kill at any moment. Its first line names
// what the scores belong to; a last line that was cut short is dropped when the file is opened again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "record/score.h"

namespace retort::eval {

class Partial {
 public:
  // Opens or creates `path` for scores under `key`. Scores already there under the same key come out in `scores`; a
  // file under another key is moved to <path>.old first. "" keeps nothing on disk.
  static Result<Partial> open(const std::string& path, const std::string& key, Env& env, std::vector<Score>& scores);
  // Appends; durable after sync().
  Status add(const Score& score);
  Status sync();

 private:
  std::unique_ptr<AppendFile> file_;  // null: nothing is kept
};

}  // namespace retort::eval
