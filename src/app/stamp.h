// Stamps: what a step's output was made of, by content hash. A step whose stamp still fits is not run again; `explain`
// says what no longer fits. Written last, so a step that was cut short has none.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort::app {

struct StampInputs {
  std::string kind;                           // "train/1"
  Json options;                               // as written in the recipe, references unresolved
  std::map<std::string, std::string> inputs;  // reference or path as written -> SHA-256 of its content
};

struct StampFile {
  std::string path;  // relative to the step's folder
  int64_t size = 0;
  std::string hash;
};

struct Stamp {
  StampInputs made_of;
  std::vector<StampFile> files;
  std::string output_hash;  // over the files' paths and hashes
  double seconds = 0;       // run fact: how long the step took, all tries
};

inline constexpr const char* kStampName = "stamp.json";
inline constexpr const char* kWorkFolder = "work";

// The stamp in `folder`; NotFound where there is none, Corrupt where it cannot be read.
Result<Stamp> read_stamp(const std::string& folder, Env& env);
Status write_stamp(const std::string& folder, const Stamp& stamp, Env& env);

// Files of a step's folder, without the stamp and the work folder, sorted by path, hashed.
Result<std::vector<StampFile>> list_output(const std::string& folder, Env& env);
std::string output_hash(const std::vector<StampFile>& files);
// SHA-256 of a file, or over the names and hashes of a folder's files.
Result<std::string> content_hash(const std::string& path, Env& env);

// Why a step with this stamp must run for `now`: one line a difference, empty where it need not. `stamp` may be null.
std::vector<std::string> reasons_to_run(const Stamp* stamp, const StampInputs& now, const std::string& folder,
                                        Env& env);

}  // namespace retort::app
